//! The state of a connection to a service that talks messages.

use crate::server::{Refusal, Shared, UnderWay, guarded, internal};
use crate::{ServiceError, Session};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// One connection's session, which answers one message at a time.
pub(crate) struct Conversation {
    state: Arc<Mutex<State>>,
    unfinished: Arc<AtomicBool>,
}

struct State {
    /// `None` after a panic.
    session: Option<Box<dyn Session>>,
    /// Keeps a server that shuts down waiting.
    under_way: Option<UnderWay>,
    unfinished: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

/// The right to the next answer.
pub(crate) struct Turn(OwnedMutexGuard<State>);

impl Conversation {
    pub(crate) fn new(session: Box<dyn Session>, shared: Arc<Shared>) -> Self {
        let unfinished = Arc::new(AtomicBool::new(false));
        let state = State { session: Some(session), under_way: None, unfinished: Arc::clone(&unfinished), shared };
        Self { state: Arc::new(Mutex::new(state)), unfinished }
    }

    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Waits until no other message is being answered.
    pub(crate) async fn turn(&self) -> Turn {
        Turn(Arc::clone(&self.state).lock_owned().await)
    }
}

impl Turn {
    /// Blocks.
    pub(crate) fn answer(mut self, message: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let state = &mut *self.0;
        // It is back in its place only if it has not panicked: half of a change is no state to go on from.
        let Some(mut session) = state.session.take() else {
            return Err(internal("the session has failed before; a new connection begins another".to_owned()));
        };
        let mut panicked = true;
        let answer = guarded(|| {
            let answer: Result<_, ServiceError> = session.answer(message);
            panicked = false;
            answer
        });
        let unfinished = !panicked && session.is_unfinished();
        state.session = (!panicked).then_some(session);
        state.unfinished.store(unfinished, Ordering::Relaxed);
        match unfinished {
            true if state.under_way.is_none() => state.under_way = Some(UnderWay::new(Arc::clone(&state.shared))),
            true => {}
            false => state.under_way = None,
        }
        answer
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        // It may wait for a thread of its own; the runtime's threads must not.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(session)));
        }
    }
}
