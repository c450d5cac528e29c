//! x
#[derive(Debug)]
pub struct JoinSet<T>(std::marker::PhantomData<T>);
