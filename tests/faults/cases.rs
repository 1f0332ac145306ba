//! Tests that are tables.

/// How many tests of one table run at once: most of their time they wait.
const AT_ONCE: usize = 12;

/// Runs `case` for each of `cases`, several at once.
pub fn each<T: Send>(cases: impl IntoIterator<Item = T>, case: impl Fn(T) + Sync) {
    let cases = parking_lot::Mutex::new(cases.into_iter().collect::<Vec<T>>());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(next) = cases.lock().pop() else {
                        return;
                    };
                    case(next);
                }
            });
        }
    });
}
