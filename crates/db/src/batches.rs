//! Asks that share statements. Whoever asks while as many statements are under way as may be, waits, and
//! with him all who come meanwhile: the next statement asks for all of them. So one who is alone waits for
//! nobody, and there is no timer.
//!
//! There is no task that would do this. Whoever waits, waits for his answer or for his turn to send the
//! next statement, whichever is first; that one is sent for all who wait then.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::error::Error;

/// How many asks share a statement at most: one of 64 takes some milliseconds, and who comes too late
/// for it waits for its end.
pub(crate) const SHARED_MAX: usize = 64;

/// How many may wait: eight times as many as claims run at once. Whoever comes then is
/// told that no connection became free.
const WAITING_MAX: usize = 2_048;

/// How long one waits for his statement to be sent, as for a connection of his own. After that
/// nothing was sent for him, and he is told so: where the database hangs, or many ask for what cannot
/// share a statement, the last one would wait for the answers of all before him.
const WAITING_LIMIT: Duration = Duration::from_secs(5);

/// What statements are sent to.
pub(crate) trait Via {
    type Session: Send;

    fn session(&self) -> impl Future<Output = Result<Self::Session, Error>> + Send;
}

/// What may be asked together with others of its kind, by way of a `V`.
pub(crate) trait Batched<V: Via, R>: Sized {
    /// Whether one statement can ask for this beside those.
    fn may_join(&self, others: &[Self]) -> bool;

    /// Asks for all of them in one statement. The answers are in their order.
    fn ask_all(
        via: &V,
        session: &mut V::Session,
        asks: &[Self],
    ) -> impl Future<Output = Result<Vec<Result<R, Error>>, Error>> + Send;
}

/// Those who ask for one kind of thing.
#[derive(Debug)]
pub(crate) struct Batches<A, R> {
    waiting: Mutex<Queue<A, R>>,
    /// One for each statement that may be under way.
    turns: Semaphore,
}

#[derive(Debug)]
struct Queue<A, R> {
    asks: VecDeque<Waiting<A, R>>,
    next_number: u64,
}

#[derive(Debug)]
struct Waiting<A, R> {
    number: u64,
    ask: A,
    teller: Teller<R>,
}

type Teller<R> = oneshot::Sender<Result<R, Error>>;

impl<A, R> Batches<A, R> {
    /// At most so many statements are under way at once.
    pub(crate) fn new(statements: usize) -> Self {
        Self {
            waiting: Mutex::new(Queue {
                asks: VecDeque::new(),
                next_number: 0,
            }),
            turns: Semaphore::new(statements),
        }
    }

    /// Asks, together with whoever asks at the same time. If this future is dropped while others wait for
    /// the statement that it sent, they are told that its answer was lost.
    pub(crate) async fn ask<V: Via>(&self, via: &V, ask: A) -> Result<R, Error>
    where
        A: Batched<V, R>,
    {
        let (teller, mut answer) = oneshot::channel();
        let number = self.queue().enter(ask, teller).ok_or(Error::Acquire)?;
        let mut waited = pin!(sleep(WAITING_LIMIT));
        while self.queue().holds(number) {
            tokio::select! {
                biased;
                told = &mut answer => return told.unwrap_or_else(|_| Err(given_up())),
                () = &mut waited => {
                    if self.queue().leave(number) {
                        return Err(Error::Acquire);
                    }
                }
                turn = self.turns.acquire() => {
                    // Whoever was told something at the same moment as this one may ask again at once.
                    yield_now().await;
                    let batch = self.queue().next_batch::<V>();
                    carry_out(via, batch).await;
                    drop(turn);
                }
            }
        }
        answer.await.unwrap_or_else(|_| Err(given_up()))
    }

    fn queue(&self) -> MutexGuard<'_, Queue<A, R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A, R> Queue<A, R> {
    fn enter(&mut self, ask: A, teller: Teller<R>) -> Option<u64> {
        if self.asks.len() >= WAITING_MAX {
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.asks.push_back(Waiting {
            number,
            ask,
            teller,
        });
        Some(number)
    }

    /// Whether he was still waiting.
    fn leave(&mut self, number: u64) -> bool {
        let place = self.asks.binary_search_by_key(&number, |it| it.number);
        place.ok().and_then(|at| self.asks.remove(at)).is_some()
    }

    fn holds(&self, number: u64) -> bool {
        let place = self.asks.binary_search_by_key(&number, |it| it.number);
        place.is_ok()
    }

    /// Who waited longest, and all who can share his statement, in the order in which they came. Whoever
    /// does not wait any more is passed over.
    fn next_batch<V: Via>(&mut self) -> (Vec<A>, Vec<Teller<R>>)
    where
        A: Batched<V, R>,
    {
        let (mut asks, mut tellers) = (Vec::new(), Vec::new());
        let mut left = VecDeque::new();
        for it in self.asks.drain(..) {
            if it.teller.is_closed() {
                continue;
            }
            if asks.len() < SHARED_MAX && it.ask.may_join(&asks) {
                asks.push(it.ask);
                tellers.push(it.teller);
            } else {
                left.push_back(it);
            }
        }
        self.asks = left;
        (asks, tellers)
    }
}

/// Asks, and tells everybody. Where the database refuses it, each half is asked for alone, until the one
/// that is at fault is alone. All of it in one session: in another one the locks of what was refused may
/// still be held for a moment.
async fn carry_out<V, A, R>(via: &V, (asks, tellers): (Vec<A>, Vec<Teller<R>>))
where
    V: Via,
    A: Batched<V, R>,
{
    if asks.is_empty() {
        return;
    }
    let mut tellers = tellers.into_iter();
    let mut tell = |answers: Vec<Result<R, Error>>| {
        for (answer, teller) in answers.into_iter().zip(tellers.by_ref()) {
            // Whoever does not wait any more hears nothing.
            let _heard = teller.send(answer);
        }
    };
    let mut session = match via.session().await {
        Ok(session) => session,
        Err(error) => return tell(for_all(error, asks.len())),
    };
    let mut parts = vec![asks.as_slice()];
    while let Some(part) = parts.pop() {
        match A::ask_all(via, &mut session, part).await {
            Ok(answers) => tell(answers),
            Err(error) if part.len() > 1 && !error.is_unavailable() => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Err(error) => {
                // Nor is the rest asked for where there was no answer: each part would wait as long.
                let unheard = error.is_unavailable().then(|| std::mem::take(&mut parts));
                let rest = unheard.unwrap_or_default();
                let count = part.len() + rest.iter().map(|it| it.len()).sum::<usize>();
                tell(for_all(error, count));
            }
        }
    }
}

fn for_all<R>(error: Error, count: usize) -> Vec<Result<R, Error>> {
    let others = (1..count).map(|_| Err(error.for_another()));
    let mut answers: Vec<_> = others.collect();
    answers.push(Err(error));
    answers
}

fn given_up() -> Error {
    Error::Lose("nobody waited for the answer of a statement that others shared".to_owned())
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    /// What was asked for in each statement, each of which ends when it is told to.
    #[derive(Default)]
    struct Recorder {
        statements: Mutex<Vec<Vec<u32>>>,
        end: Notify,
    }

    impl Recorder {
        fn seen(&self) -> Vec<Vec<u32>> {
            std::mem::take(&mut *self.statements.lock().unwrap())
        }
    }

    impl Via for Recorder {
        type Session = ();

        async fn session(&self) -> Result<(), Error> {
            Ok(())
        }
    }

    /// A hundred is refused, and the largest of all is an answer that is lost.
    #[derive(Debug, PartialEq)]
    struct Number(u32);

    impl Batched<Recorder, u32> for Number {
        fn may_join(&self, others: &[Self]) -> bool {
            !others.contains(self)
        }

        async fn ask_all(
            via: &Recorder,
            (): &mut (),
            asks: &[Self],
        ) -> Result<Vec<Result<u32, Error>>, Error> {
            let numbers: Vec<u32> = asks.iter().map(|it| it.0).collect();
            via.statements.lock().unwrap().push(numbers.clone());
            via.end.notified().await;
            if numbers.contains(&u32::MAX) {
                return Err(Error::Lose("cut".to_owned()));
            }
            if numbers.contains(&100) {
                return Err(Error::Read("a hundred".to_owned()));
            }
            Ok(numbers.into_iter().map(|it| Ok(it + 1)).collect())
        }
    }

    async fn ended(recorder: &Recorder, statements: usize) {
        for _ in 0..statements {
            recorder.end.notify_one();
            for _ in 0..10 {
                yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn whoever_comes_while_all_turns_are_taken_shares_the_next_in_the_order_of_coming() {
        let (batches, recorder) = (Batches::new(2), Recorder::default());
        let ask = async |number, after: usize| {
            for _ in 0..after {
                yield_now().await;
            }
            batches.ask(&recorder, Number(number)).await.unwrap()
        };
        let asks = join_all([
            ask(1, 0),
            ask(2, 4),
            ask(3, 8),
            ask(5, 9),
            ask(3, 10),
            ask(4, 11),
        ]);
        let watch = async {
            for _ in 0..20 {
                yield_now().await;
            }
            assert_eq!(recorder.seen(), [[1], [2]]);
            ended(&recorder, 1).await;
            assert_eq!(recorder.seen(), [[3, 5, 4]]);
            ended(&recorder, 1).await;
            assert_eq!(
                recorder.seen(),
                [[3]],
                "those that cannot share wait for the next"
            );
            ended(&recorder, 2).await;
        };
        let (answers, ()) = tokio::join!(asks, watch);
        assert_eq!(answers, [2, 3, 4, 6, 4, 5]);
    }

    #[tokio::test]
    async fn what_is_refused_is_parted_until_it_is_alone_and_what_is_lost_is_lost_for_all() {
        let (batches, recorder) = (Batches::new(1), Recorder::default());
        for (numbers, statements, answers) in [
            (
                vec![1, 2, 100, 3],
                vec![
                    vec![1, 2, 100, 3],
                    vec![1, 2],
                    vec![100, 3],
                    vec![100],
                    vec![3],
                ],
                vec![Some(2), Some(3), None, Some(4)],
            ),
            (
                vec![1, u32::MAX, 2],
                vec![vec![1, u32::MAX, 2]],
                vec![None; 3],
            ),
        ] {
            let asks = numbers
                .into_iter()
                .map(|it| batches.ask(&recorder, Number(it)));
            let (told, ()) = tokio::join!(join_all(asks), ended(&recorder, 8));
            let told: Vec<_> = told.into_iter().map(Result::ok).collect();
            assert_eq!(told, answers);
            assert_eq!(recorder.seen(), statements);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_for_his_statement_is_told_that_none_was_sent() {
        let (batches, recorder) = (Batches::new(1), Recorder::default());
        let first = batches.ask(&recorder, Number(1));
        let second = async {
            yield_now().await;
            yield_now().await;
            let told = batches.ask(&recorder, Number(2)).await;
            recorder.end.notify_one();
            told
        };
        let (first, second) = tokio::join!(first, second);
        assert!(matches!(second, Err(Error::Acquire)));
        assert_eq!(first.unwrap(), 2);
        assert_eq!(recorder.seen(), [[1]]);
    }

    #[tokio::test]
    async fn no_statement_is_for_more_than_it_may_be_for() {
        let (batches, recorder) = (Batches::new(1), Recorder::default());
        let asks = (1000..1100).map(|it| batches.ask(&recorder, Number(it)));
        let (told, ()) = tokio::join!(join_all(asks), ended(&recorder, 4));
        assert!(told.iter().all(Result::is_ok));
        let sizes: Vec<_> = recorder.seen().iter().map(Vec::len).collect();
        assert_eq!(sizes, [SHARED_MAX, 100 - SHARED_MAX]);
    }
}
