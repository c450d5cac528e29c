//! Tasks against what a queue says of them: spawned, woken, aborted, detached and joined, by each
//! other and by wakers and destructors that come back in, with panics in all of these places.
//!
//! Every planned panic has a text of its own and has to arrive once: at who joins, at the hook for
//! what nobody hears, or at the code of the program itself.

mod script;
mod world;

use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenloop::sim;
use evenloop::time::sleep;

use script::{Act, Hook, Script, TASKS, Touch};
pub(crate) use script::{Program, decode};
use world::{End, World, world};

/// Tasks that are there from the start.
const FIRST: usize = 3;

pub(crate) fn run(program: &Program) {
    world::replace(World::new(&program.tasks));
    // In case this thread's last program failed half way, nothing of it is met again.
    let runtime = ManuallyDrop::new(
        sim::Runtime::builder()
            .on_unhandled_panic(|panic| {
                world().landed(panic.message().unwrap_or("no text"));
            })
            .build(),
    );
    runtime.block_on(async {
        for task in 0..FIRST {
            world().touch(Touch::Spawn(task), None);
        }
        for act in &program.main {
            match act {
                Act::Pend | Act::Yield | Act::Finish | Act::Panic => settle().await,
                act => {
                    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                    world().act(*act, &waker);
                }
            }
            world().well();
        }
        settle().await;
    });
    let world = world();
    world.shut_down();
    drop(ManuallyDrop::into_inner(runtime));
    world.over();
    world::end();
}

/// Lets all run that can, and looks whether it did.
async fn settle() {
    for _ in 0..1_000 {
        sleep(Duration::from_nanos(1)).await;
        if world().is_quiet() {
            return;
        }
    }
    world().wrong("LOST: a task that was woken is not polled");
}

/// The future of a task.
struct Body {
    task: usize,
    script: Script,
    next: usize,
}

impl Body {
    fn new(task: usize, script: Script) -> Self {
        Self { task, script, next: 0 }
    }

    /// Plays the script up to the end of this poll.
    fn play(&mut self, cx: &mut Context<'_>) -> Poll<Output> {
        let world = world();
        loop {
            let act = self.script.polls.get(self.next).copied();
            self.next += 1;
            match act.unwrap_or(self.script.last) {
                Act::Pend => {
                    world.poll_pends(self.task);
                    return Poll::Pending;
                }
                Act::Yield => {
                    world.woken(self.task);
                    cx.waker().wake_by_ref();
                    world.poll_pends(self.task);
                    return Poll::Pending;
                }
                Act::Finish => {
                    world.poll_ends(self.task, End::Done);
                    return Poll::Ready(Output { task: self.task, hook: self.script.output });
                }
                Act::Panic => {
                    let text = format!("poll {}", self.task);
                    world.poll_ends(self.task, End::Panicked(text.clone()));
                    world.fly(text);
                }
                act => world.act(act, cx.waker()),
            }
        }
    }
}

impl Future for Body {
    type Output = Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        world().poll_starts(self.task, cx.waker().clone());
        self.play(cx)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let (world, Hook { touch, panics }) = (world(), self.script.drop);
        world.future_drops(self.task);
        world.touch(touch, None);
        let text = panics.then(|| format!("drop {}", self.task));
        world.future_dropped(self.task, text.clone());
        if let Some(text) = text {
            world.fly(text);
        }
    }
}

/// What a task returns.
struct Output {
    task: usize,
    hook: Hook,
}

impl Drop for Output {
    fn drop(&mut self) {
        let world = world();
        world.output_drops(self.task);
        world.touch(self.hook.touch, None);
        world.output_dropped(self.task);
        if self.hook.panics {
            world.fly(format!("output {}", self.task));
        }
    }
}

/// The waker of somebody who is no task.
struct Stranger {
    number: usize,
    wake: Hook,
    drop: Hook,
}

impl Stranger {
    fn do_hook(&self, hook: Hook, what: &str) {
        world().touch(hook.touch, None);
        if hook.panics {
            world().fly(format!("{what} {}", self.number));
        }
    }
}

impl std::task::Wake for Stranger {
    fn wake(self: std::sync::Arc<Self>) {
        self.do_hook(self.wake, "wake");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.do_hook(self.drop, "forget");
    }
}

/// Goes on as a panic without a word on standard error.
fn throw(text: String) -> ! {
    resume_unwind(Box::new(text))
}

fn noop() -> &'static Waker {
    Waker::noop()
}
