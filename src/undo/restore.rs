//! Brings back what a plan says, a batch at a time: written down before, told apart after.

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::undo::gather::Deleted;
use crate::undo::ledger::Ledger;
use crate::undo::order::{Order, Said, Way, is_still_there, send};
use crate::undo::plan::{Fate, Plan};
use crate::undo::smh::{MOST_TRIES, MOST_TRIES_WHILE_BUSY, Smh, Trouble, pause};
use crate::undo::{How, OnConflict, OnLostParent, Space};

/// What became of a file that was to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is back.
    Restored(Restored),
    /// It is not.
    NotRestored {
        /// SMH's word for why, where it gave one.
        code: Option<String>,
        /// The same for people.
        cause: String,
    },
    /// It may be: the next run finds out.
    Unknown {
        /// Why nobody knows.
        cause: String,
    },
    /// An earlier run tried it, and it has left the bin since: nobody said that it is back.
    HasLeft,
    /// The run ended before.
    NotTried,
}

/// Where a file is again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where to, where that is known.
    pub as_path: Option<String>,
    /// No answer said so, but it has left the bin behind a request of this run.
    pub presumed: bool,
}

/// What is heard of while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Files that are settled.
    pub settled: usize,
    /// Files in all.
    pub of: usize,
}

/// Brings back what is to be; by its place in the plan, what became of each. Asks `stop` before each batch.
///
/// # Errors
/// Where its own journal cannot be written: then it restores nothing more.
pub async fn restore(
    plan: &Plan,
    how: How,
    smh: &mut Smh<'_>,
    ledger: &mut Ledger,
    progress: &mut dyn FnMut(Progress),
    stop: &dyn Fn() -> bool,
) -> io::Result<HashMap<usize, Outcome>> {
    let mut of_spaces: BTreeMap<&Space, Vec<Job<'_>>> = BTreeMap::new();
    let mut count = 0;
    // The newest first: of several of one path, it gets the name.
    for (index, item) in plan.items.iter().enumerate().rev() {
        if let Fate::Restore { id, tried_before, .. } = item.fate {
            let doubt = tried_before.then_some(Doubt::EarlierRun);
            let job = Job { index, deleted: &item.deleted, id, doubt };
            of_spaces.entry(&item.deleted.space).or_default().push(job);
            count += 1;
        }
    }
    let outcomes = HashMap::with_capacity(count);
    let mut run = Run { how, smh, ledger, outcomes, count, progress, stop };
    for (space, jobs) in of_spaces {
        run.space(space, jobs).await?;
    }
    Ok(run.outcomes)
}

/// One file.
#[derive(Clone)]
struct Job<'p> {
    index: usize,
    deleted: &'p Deleted,
    id: u64,
    /// It may have been brought back.
    doubt: Option<Doubt>,
}

/// What may have brought a file back without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Long ago: since then anybody may have.
    EarlierRun,
    /// A moment ago.
    ThisRun,
}

impl Doubt {
    /// What it means that the file has left the bin.
    fn of_one_that_left(self) -> Outcome {
        match self {
            Self::EarlierRun => Outcome::HasLeft,
            Self::ThisRun => Outcome::Restored(Restored { as_path: None, presumed: true }),
        }
    }
}

struct Run<'r, 's> {
    how: How,
    smh: &'r mut Smh<'s>,
    ledger: &'r mut Ledger,
    outcomes: HashMap<usize, Outcome>,
    count: usize,
    progress: &'r mut dyn FnMut(Progress),
    stop: &'r dyn Fn() -> bool,
}

/// After a batch.
enum Went<'p> {
    /// These are to be tried each on its own.
    On(Vec<Job<'p>>),
    /// What comes behind it in this space would fare no better.
    Stuck,
}

impl Run<'_, '_> {
    async fn space(&mut self, space: &Space, jobs: Vec<Job<'_>>) -> io::Result<()> {
        let way = self.how.way();
        let (mut alone, mut is_stuck) = (Vec::new(), false);
        let mut rest = jobs.as_slice();
        while let Some((batch, behind)) = rest.split_at_checked(way.most().min(rest.len()))
            && !batch.is_empty()
        {
            if (self.stop)() {
                break;
            }
            rest = behind;
            match self.batch(space, batch.to_vec(), way).await? {
                Went::On(some) => alone.extend(some),
                Went::Stuck => {
                    is_stuck = true;
                    break;
                }
            }
        }
        if rest.is_empty() && !is_stuck {
            while let Some(job) = alone.pop() {
                if (self.stop)() {
                    alone.push(job);
                    break;
                }
                if let Went::Stuck = self.batch(space, vec![job], Way::Alone).await? {
                    break;
                }
            }
        }
        for job in rest {
            self.outcomes.entry(job.index).or_insert(Outcome::NotTried);
        }
        alone.iter().for_each(|job| self.not_tried(job));
        self.ledger.commit()
    }

    /// One batch, until each of its files is settled or given up.
    async fn batch<'p>(
        &mut self,
        space: &Space,
        jobs: Vec<Job<'p>>,
        way: Way,
    ) -> io::Result<Went<'p>> {
        let mut alone = Vec::new();
        let checked = self.still_there(space, jobs).await;
        let went = match checked {
            Err(()) => Went::Stuck,
            Ok(left) => {
                left.iter().for_each(|job| self.ledger.intend(job.deleted, job.id));
                self.ledger.commit()?;
                self.tries(space, left, way, &mut alone).await
            }
        };
        if let Went::Stuck = went {
            alone.drain(..).for_each(|job| self.not_tried(&job));
        }
        self.ledger.commit()?;
        (self.progress)(Progress { settled: self.outcomes.len(), of: self.count });
        Ok(match went {
            Went::On(_) => Went::On(alone),
            Went::Stuck => Went::Stuck,
        })
    }

    async fn tries<'p>(
        &mut self,
        space: &Space,
        mut left: Vec<Job<'p>>,
        way: Way,
        alone: &mut Vec<Job<'p>>,
    ) -> Went<'p> {
        let mut tries = 0;
        while !left.is_empty() {
            let ids: Vec<u64> = left.iter().map(|job| job.id).collect();
            let order = Order { space, ids: &ids, how: self.how, way };
            let (cause, most) = match send(self.smh, &order).await {
                Ok(said) => {
                    left = self.hear(left, &said, way, alone);
                    ("SMH did not say what became of all".to_owned(), MOST_TRIES)
                }
                Err(Trouble::Busy(cause)) => (cause, MOST_TRIES_WHILE_BUSY),
                Err(Trouble::Unclear(cause)) => {
                    left.iter_mut().for_each(|job| job.doubt = Some(Doubt::ThisRun));
                    (cause, MOST_TRIES)
                }
                Err(Trouble::Refused { status, code }) => {
                    return self.refused(left, status, &code, way, alone);
                }
                Err(Trouble::NotOpen(error)) => {
                    self.give_up(left, None, &error.to_string());
                    return Went::Stuck;
                }
            };
            if left.is_empty() {
                break;
            }
            if tries >= most {
                let cause = format!("given up after {} tries: {cause}", tries + 1);
                self.give_up(left, None, &cause);
                return Went::Stuck;
            }
            pause(tries).await;
            tries += 1;
            match self.still_there(space, left).await {
                Ok(some) => left = some,
                Err(()) => return Went::Stuck,
            }
        }
        Went::On(Vec::new())
    }

    /// What an answer says of each; those that are to be tried again come back.
    fn hear<'p>(
        &mut self,
        jobs: Vec<Job<'p>>,
        said: &HashMap<u64, Said>,
        way: Way,
        alone: &mut Vec<Job<'p>>,
    ) -> Vec<Job<'p>> {
        let mut again = Vec::new();
        for mut job in jobs {
            match said.get(&job.id) {
                Some(Said::Restored(as_path)) => {
                    let as_path = as_path.clone();
                    self.settle(&job, Outcome::Restored(Restored { as_path, presumed: false }));
                }
                Some(Said::Refused { code, .. }) if way == Way::Batch && self.how.settles(code) => {
                    alone.push(job);
                }
                Some(Said::Refused { status, code }) => {
                    let outcome = refusal(&job, *status, code);
                    self.settle(&job, outcome);
                }
                Some(Said::Later) => again.push(job),
                Some(Said::Unclear) | None => {
                    job.doubt = Some(Doubt::ThisRun);
                    again.push(job);
                }
            }
        }
        again
    }

    /// A whole request was refused.
    fn refused<'p>(
        &mut self,
        jobs: Vec<Job<'p>>,
        status: u16,
        code: &str,
        way: Way,
        alone: &mut Vec<Job<'p>>,
    ) -> Went<'p> {
        if concerns_all(status, code) {
            self.give_up(jobs, Some(code), &words(status, code));
            return Went::Stuck;
        }
        match way {
            Way::Batch => alone.extend(jobs),
            Way::Alone => {
                for job in &jobs {
                    let outcome = refusal(job, status, code);
                    self.settle(job, outcome);
                }
            }
        }
        Went::On(Vec::new())
    }

    /// Without those that may have been brought back and have left the bin.
    async fn still_there<'p>(
        &mut self,
        space: &Space,
        jobs: Vec<Job<'p>>,
    ) -> Result<Vec<Job<'p>>, ()> {
        let mut there = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter();
        while let Some(job) = jobs.next() {
            let Some(doubt) = job.doubt else {
                there.push(job);
                continue;
            };
            match is_still_there(self.smh, space, job.id).await {
                Ok(true) => there.push(job),
                Ok(false) => self.settle(&job, doubt.of_one_that_left()),
                Err(trouble) => {
                    there.push(job);
                    there.extend(jobs);
                    self.give_up(there, None, &trouble.to_string());
                    return Err(());
                }
            }
        }
        Ok(there)
    }

    fn give_up(&mut self, jobs: Vec<Job<'_>>, code: Option<&str>, cause: &str) {
        for job in jobs {
            let (code, cause) = (code.map(str::to_owned), cause.to_owned());
            let outcome = match job.doubt.is_some() {
                true => Outcome::Unknown { cause },
                false => Outcome::NotRestored { code, cause },
            };
            self.settle(&job, outcome);
        }
    }

    /// Of one that was about to be, and that SMH refused so far. Where there is a doubt, it stays.
    fn not_tried(&mut self, job: &Job<'_>) {
        match job.doubt {
            None => self.settle(job, Outcome::NotTried),
            Some(_) => {
                self.outcomes.insert(job.index, Outcome::NotTried);
            }
        }
    }

    fn settle(&mut self, job: &Job<'_>, outcome: Outcome) {
        self.ledger.settle(job.deleted, job.id, &outcome);
        self.outcomes.insert(job.index, outcome);
    }
}

/// Refused by SMH, on its own or within a batch.
fn refusal(job: &Job<'_>, status: u16, code: &str) -> Outcome {
    if let (Some(doubt), "RecycledItemNotFound") = (job.doubt, code) {
        return doubt.of_one_that_left();
    }
    Outcome::NotRestored { code: Some(code.to_owned()), cause: words(status, code) }
}

/// Whether a refusal is about the space, the library or the token, and so about each file.
fn concerns_all(status: u16, code: &str) -> bool {
    let words = ["LibraryNotFound", "SpaceNotFound", "RouteNotFound", "RecycleBinNotEnabled"];
    matches!(status, 300..=399 | 401 | 403) || words.contains(&code) || code == "EmptyAccessToken"
}

fn words(status: u16, code: &str) -> String {
    let why = match code {
        "SameNameDirectoryOrFileExists" => {
            "something else is at its path: use `--on-conflict rename`"
        }
        "DirectoryNotFound" => "its folder is gone: make it again, or use `--to-root`",
        "RecycledItemNotFound" => "it is no longer in the recycle bin",
        "RecycleBinNotEnabled" => "the recycle bin is off",
        "NoPermission" => "the token of `undo` may not restore: it needs `restore_recycled`",
        _ => return format!("SMH refuses it: {status} {code}"),
    };
    format!("{why} ({status} {code})")
}

impl How {
    /// SMH's documents tell of the strategies where one item is restored, and not where a batch is. Where
    /// it would do harm if a batch did not heed them, each file is restored on its own.
    fn way(self) -> Way {
        match self.on_conflict {
            OnConflict::Rename => Way::Batch,
            OnConflict::Ask | OnConflict::Overwrite => Way::Alone,
        }
    }

    /// Whether this is a refusal that the strategies should have prevented: a batch did not heed them.
    fn settles(self, code: &str) -> bool {
        match code {
            "SameNameDirectoryOrFileExists" => self.on_conflict != OnConflict::Ask,
            "DirectoryNotFound" => self.on_lost_parent == OnLostParent::ToRoot,
            _ => false,
        }
    }
}
