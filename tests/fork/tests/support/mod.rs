//! A child process that is forked while threads wait at locks, and uses locks of its own.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// More than it takes for the child's locks to meet the places of those who waited in the parent.
const CHILDS_MEETINGS: usize = 1000;
/// A list that has become a circle can eat all memory.
const CHILD_MEMORY_BYTES: libc::rlim_t = 2 << 30;

#[derive(Default, PartialEq)]
pub enum Turn {
    #[default]
    Nobody,
    Waiting,
    Free,
}

/// A lock and a condition variable, at which one thread waits for another.
pub trait Meeting: Default + Send + Sync + 'static {
    /// Waits until it is let go.
    fn wait(&self);
    /// Lets the thread go that waits, if it has come.
    fn let_go(&self) -> bool;
    /// Whether a thread waits.
    fn is_waiting(&self) -> bool;
}

/// Whether a child that was forked while two threads waited can use locks of its own, and is done within `limit`.
pub fn child_gets_on<M: Meeting>(limit: Duration) -> bool {
    let parents: Vec<Arc<M>> = (0..2).map(|_| Arc::default()).collect();
    let threads: Vec<_> = parents
        .iter()
        .map(|meeting| {
            let meeting = Arc::clone(meeting);
            thread::spawn(move || meeting.wait())
        })
        .collect();
    for meeting in &parents {
        while !meeting.is_waiting() {
            thread::yield_now();
        }
    }
    // SAFETY: the child uses only what is its own and what glibc mends in it, and ends without destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        be_quiet_and_small();
        meet_a_thread::<M>();
        // SAFETY: ends the process, and that is all.
        unsafe { libc::_exit(0) }
    }
    assert!(child > 0, "{}", std::io::Error::last_os_error());
    for meeting in &parents {
        assert!(meeting.let_go());
    }
    for thread in threads {
        thread.join().unwrap();
    }
    ends_well(child, limit)
}

/// In the child: a thread waits, and is let go, so many times.
fn meet_a_thread<M: Meeting>() {
    let own: Arc<Vec<M>> = Arc::new((0..CHILDS_MEETINGS).map(|_| M::default()).collect());
    let waiting = thread::spawn({
        let own = Arc::clone(&own);
        move || own.iter().for_each(M::wait)
    });
    for meeting in own.iter() {
        while !meeting.let_go() {
            thread::yield_now();
        }
    }
    drop(waiting.join());
}

/// In the child: no core file, no message of a panic, no memory without a limit.
fn be_quiet_and_small() {
    let limit = |bytes| libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: plain system calls with values that live long enough.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &limit(0));
        libc::setrlimit(libc::RLIMIT_AS, &limit(CHILD_MEMORY_BYTES));
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
        libc::dup2(nowhere, libc::STDERR_FILENO);
    }
}

/// Whether the child ends by itself, within the limit, and with success. One that does not is killed.
fn ends_well(child: libc::pid_t, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut status = 0;
    loop {
        // SAFETY: `child` is ours and was not waited for; `status` outlives the call.
        let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if ended == child {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        }
        if Instant::now() >= deadline {
            // SAFETY: as above; a killed child ends at once.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &mut status, 0);
            }
            return false;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}
