//! One small adapter for each runtime.

mod bare;
mod compio;
mod evenloop;
mod futures;
mod glommio;
mod monoio;
mod smol;
mod tokio;

pub use bare::Bare;
pub use compio::Compio;
pub use evenloop::Evenloop;
pub use futures::Futures;
pub use glommio::{Glommio, GlommioTuned};
pub use monoio::{MonoioEpoll, MonoioUring};
pub use smol::Smol;
pub use tokio::Tokio;
