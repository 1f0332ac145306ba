use super::*;

mod simulation;

const KEEP_ALIVE: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);
const NOBODY: [i64; 0] = [];
/// What a suspect survives in these tests.
const SURVIVED: Duration = Duration::from_millis(100);

/// A hub and a link that do what the test says, and the clock.
struct Desk {
    suspects: Suspects,
    now: Moment,
    /// Messages in flight and behind.
    messages: Vec<i64>,
}

impl Desk {
    fn new(messages: impl IntoIterator<Item = i64>) -> Desk {
        Desk {
            suspects: Suspects::new(KEEP_ALIVE, fastrand::Rng::with_seed(1)),
            now: Moment::START,
            messages: messages.into_iter().collect(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn step(&mut self, settled: bool) -> Step {
        let exists = |place: usize| place < self.messages.len();
        self.suspects.step(self.now, settled, exists)
    }

    /// Connects, and lets the hub answer everything, until the link may send something.
    fn connect(&mut self) -> Step {
        self.suspects.connected(self.now);
        self.wait()
    }

    fn wait(&mut self) -> Step {
        loop {
            match self.step(true) {
                Step::Nothing => self.now = self.suspects.next_due().expect("a timer"),
                Step::Ping => assert!(self.suspects.wants_silence()),
                step => return step,
            }
        }
    }

    fn lose(&mut self, end: End, oldest: i64) -> bool {
        self.pass(SURVIVED);
        self.suspects.lost(end, Some(oldest), self.now)
    }

    /// Loses connections until a trial begins; returns how many it took.
    fn fall_into_suspicion(&mut self, oldest: i64) -> u32 {
        let mut losses = 0;
        while !self.suspects.is_trying() {
            assert_eq!(self.connect(), Step::All);
            assert!(!self.lose(End::Closed, oldest));
            losses += 1;
        }
        losses
    }

    /// Connects and has the hub refuse the Message at this place.
    fn refuse(&mut self, place: usize) {
        assert_eq!(self.connect(), Step::One(place));
        assert!(self.lose(End::Closed, self.messages[place]));
    }

    fn acknowledge(&mut self, id: i64) -> Vec<i64> {
        self.pass(SURVIVED);
        let verdicts = self.suspects.acknowledged(id, self.now);
        verdicts.into_iter().map(|verdict| verdict.id).collect()
    }
}

#[test]
fn a_message_that_only_is_refused_is_set_aside_when_the_one_behind_it_is_taken() {
    let mut desk = Desk::new(1..=3);
    assert_eq!(desk.fall_into_suspicion(1), LOSSES);
    for _ in 0..REFUSALS {
        desk.refuse(0);
    }
    assert!(desk.suspects.wants_witness());
    assert_eq!(desk.connect(), Step::One(1));
    desk.pass(SURVIVED);
    let verdicts = desk.suspects.acknowledged(2, desk.now);
    let [verdict] = verdicts.as_slice() else {
        panic!("{verdicts:?}");
    };
    assert_eq!((verdict.id, verdict.refusals), (1, REFUSALS));
    assert!(verdict.witness);
    assert_eq!(desk.step(true), Step::All, "the rest goes on");
}

#[test]
fn it_takes_one_to_three_minutes_with_the_usual_keep_alive() {
    for seed in 0..1000 {
        let mut desk = Desk::new(1..=3);
        desk.suspects.random = fastrand::Rng::with_seed(seed);
        desk.fall_into_suspicion(1);
        (0..REFUSALS).for_each(|_| desk.refuse(0));
        assert_eq!(desk.connect(), Step::One(1));
        let time = desk.now.since(Moment::START);
        assert!(time > MINUTE && time < 3 * MINUTE, "{seed}: {time:?}");
    }
}

#[test]
fn the_hold_is_random_so_that_nothing_periodic_coincides_with_the_probe() {
    let holds = (0..1000).map(|seed| {
        let mut desk = Desk::new(1..=3);
        desk.suspects.random = fastrand::Rng::with_seed(seed);
        desk.fall_into_suspicion(1);
        let connected = desk.now;
        assert_eq!(desk.connect(), Step::One(0));
        desk.now.since(connected)
    });
    let mut holds: Vec<Duration> = holds.collect();
    holds.sort();
    let (shortest, longest) = (holds[0], holds[999]);
    assert!(longest.as_secs_f64() > 1.9 * shortest.as_secs_f64());
    let largest_gap = holds.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(largest_gap < Some(shortest / 20), "{largest_gap:?}");
}

#[test]
fn other_ends_than_the_hubs_close_raise_no_suspicion() {
    let mut desk = Desk::new(1..=3);
    for _ in 0..100 {
        desk.connect();
        desk.lose(End::Closed, 1);
        desk.connect();
        desk.lose(End::Closed, 1);
        desk.connect();
        desk.lose(End::Failed, 1);
        assert!(!desk.suspects.is_trying());
    }
}

#[test]
fn losses_with_nothing_in_flight_or_without_a_connection_end_the_row() {
    let mut desk = Desk::new(1..=3);
    for _ in 0..100 {
        desk.connect();
        desk.lose(End::Closed, 1);
        desk.connect();
        desk.lose(End::Broken, 1);
        desk.connect();
        desk.suspects.lost(End::Closed, None, desk.now);
        desk.connect();
        desk.lose(End::Closed, 1);
        desk.connect();
        desk.lose(End::Closed, 1);
        desk.suspects.not_connected();
        assert!(!desk.suspects.is_trying());
    }
}

#[test]
fn each_message_has_a_row_of_its_own() {
    let mut desk = Desk::new(1..=3);
    for id in 1..100 {
        desk.connect();
        desk.lose(End::Closed, id);
        desk.connect();
        desk.lose(End::Closed, id);
        desk.connect();
        assert_eq!(desk.acknowledge(id), NOBODY);
        desk.lose(End::Closed, id + 1);
    }
    assert!(!desk.suspects.is_trying());
}

#[test]
fn an_end_while_nothing_is_sent_clears_the_suspect() {
    for end in [End::Closed, End::Broken, End::Failed] {
        let mut desk = Desk::new(1..=3);
        desk.fall_into_suspicion(1);
        desk.refuse(0);
        desk.suspects.connected(desk.now);
        assert_eq!(desk.step(true), Step::Nothing);
        assert!(!desk.suspects.lost(end, None, desk.now));
        assert!(!desk.suspects.is_trying());
        assert_eq!(desk.connect(), Step::All);
    }
}

#[test]
fn a_probe_that_ends_in_any_other_way_clears_the_suspect() {
    for end in [End::Broken, End::Failed] {
        let mut desk = Desk::new(1..=3);
        desk.fall_into_suspicion(1);
        desk.refuse(0);
        assert_eq!(desk.connect(), Step::One(0));
        assert!(!desk.lose(end, 1));
        assert!(!desk.suspects.is_trying());
    }
}

#[test]
fn a_connection_that_cannot_be_made_clears_the_suspect() {
    let mut desk = Desk::new(1..=3);
    desk.fall_into_suspicion(1);
    (0..REFUSALS).for_each(|_| desk.refuse(0));
    desk.suspects.not_connected();
    assert_eq!(desk.connect(), Step::All);
}

#[test]
fn a_hub_that_does_not_answer_other_requests_clears_the_suspect() {
    for answers_until_ping in [true, false] {
        let mut desk = Desk::new(1..=3);
        desk.fall_into_suspicion(1);
        desk.suspects.connected(desk.now);
        assert_eq!(desk.step(true), Step::Nothing);
        desk.now = desk.suspects.next_due().expect("the hold ends");
        if answers_until_ping {
            assert_eq!(desk.step(true), Step::Ping);
        }
        assert_eq!(desk.step(false), Step::Nothing);
        desk.now = desk.suspects.next_due().expect("patience ends");
        assert_eq!(desk.step(false), Step::All);
        assert!(!desk.suspects.is_trying());
    }
}

#[test]
fn a_trial_that_came_to_nothing_makes_the_next_come_later() {
    let mut desk = Desk::new(1..=3);
    let mut losses = Vec::new();
    for _ in 0..5 {
        losses.push(desk.fall_into_suspicion(1));
        desk.suspects.not_connected();
    }
    assert_eq!(losses, [3, 6, 12, 24, 24]);
}

#[test]
fn a_suspect_that_is_acknowledged_is_free_and_its_losses_count_for_the_next() {
    let mut desk = Desk::new(1..=3);
    desk.fall_into_suspicion(1);
    desk.refuse(0);
    desk.refuse(0);
    assert_eq!(desk.connect(), Step::One(0));
    assert_eq!(desk.acknowledge(1), NOBODY);
    assert_eq!(desk.step(true), Step::All);
    desk.messages.remove(0);

    let innocent = LOSSES + 2;
    assert_eq!(desk.fall_into_suspicion(2), LOSSES);
    for _ in 0..REFUSALS + innocent {
        desk.refuse(0);
    }
    assert_eq!(desk.connect(), Step::One(1));
}

#[test]
fn innocent_losses_are_forgotten_when_others_go_through_at_once() {
    let mut desk = Desk::new(1..=3);
    desk.connect();
    desk.lose(End::Closed, 1);
    desk.connect();
    for id in 1..=1 + i64::from(FORGET_AFTER) {
        desk.acknowledge(id);
    }
    desk.lose(End::Closed, 9);
    desk.messages = vec![9, 10];
    desk.fall_into_suspicion(9);
    (0..REFUSALS).for_each(|_| desk.refuse(0));
    assert_eq!(desk.connect(), Step::One(1));
}

#[test]
fn suspects_in_a_row_are_set_aside_together_and_in_order() {
    for count in 1..=SUSPECTS_MAX - 1 {
        let mut desk = Desk::new(1..=20);
        desk.fall_into_suspicion(1);
        let mut rounds = 0;
        let witness = loop {
            let Step::One(place) = desk.connect() else {
                panic!("nothing to send");
            };
            rounds += u32::from(place == 0);
            let id = desk.messages[place];
            if place == count {
                break id;
            }
            assert!(desk.lose(End::Closed, id));
        };
        assert_eq!(rounds, REFUSALS << (count - 1));
        let expected: Vec<i64> = (1..=count as i64).collect();
        assert_eq!(desk.acknowledge(witness), expected);
    }
}

#[test]
fn a_witness_that_was_refused_before_counts_only_right_after_a_refusal_of_those_before_it() {
    let mut desk = Desk::new(1..=3);
    desk.fall_into_suspicion(1);
    (0..REFUSALS).for_each(|_| desk.refuse(0));
    desk.refuse(1);
    assert_eq!(desk.connect(), Step::One(0), "a new round");
    assert_eq!(desk.acknowledge(1), NOBODY, "the hub takes Messages again");
    assert_eq!(desk.step(true), Step::All);
}

#[test]
fn a_witness_is_heard_only_on_the_connection_after_the_refusal() {
    let mut desk = Desk::new(1..=3);
    desk.fall_into_suspicion(1);
    (0..REFUSALS).for_each(|_| desk.refuse(0));
    // That connection is left, for other credentials.
    desk.suspects.connected(desk.now);
    assert_eq!(desk.connect(), Step::One(0));
}

#[test]
fn a_hub_that_takes_nothing_has_nothing_set_aside_within_a_day() {
    let mut desk = Desk::new(1..=20);
    desk.fall_into_suspicion(1);
    while desk.now.since(Moment::START) < WITHOUT_WITNESS {
        let Step::One(place) = desk.connect() else {
            panic!("set aside after {:?}", desk.now.since(Moment::START));
        };
        desk.lose(End::Closed, desk.messages[place]);
    }
    assert_eq!(
        desk.suspects.trial.as_ref().unwrap().suspects.len(),
        SUSPECTS_MAX
    );
}

#[test]
fn with_nothing_behind_it_a_suspect_is_set_aside_after_a_day_and_an_hour() {
    let mut desk = Desk::new([1]);
    desk.fall_into_suspicion(1);
    let verdicts = loop {
        match desk.connect() {
            Step::One(0) => drop(desk.lose(End::Closed, 1)),
            Step::SetAside(verdicts) => break verdicts,
            step => panic!("{step:?}"),
        }
    };
    let [verdict] = verdicts.as_slice() else {
        panic!("{verdicts:?}");
    };
    assert!(verdict.time >= WITHOUT_WITNESS && !verdict.witness);
    assert!(verdict.time < WITHOUT_WITNESS + 5 * MINUTE, "{verdict:?}");
}

#[test]
fn a_witness_that_comes_later_is_heard() {
    let mut desk = Desk::new([1]);
    desk.fall_into_suspicion(1);
    (0..3 * REFUSALS).for_each(|_| desk.refuse(0));
    desk.messages.push(2);
    let mut step = desk.connect();
    if step == Step::One(0) {
        desk.lose(End::Closed, 1);
        step = desk.connect();
    }
    assert_eq!(step, Step::One(1));
    assert_eq!(desk.acknowledge(2), [1]);
}

#[test]
fn a_message_is_held_back_for_a_minute_at_most_whatever_it_survives() {
    for survived in [1, 10, 30, 50, 3000] {
        let mut desk = Desk::new(1..=3);
        desk.fall_into_suspicion(1);
        for _ in 0..20 {
            let connected = desk.now;
            assert_eq!(desk.connect(), Step::One(0));
            assert!(desk.now.since(connected) <= HELD_MAX);
            desk.pass(Duration::from_secs(survived));
            desk.suspects.lost(End::Closed, Some(1), desk.now);
            if desk.suspects.wants_witness() {
                break;
            }
        }
    }
}

#[test]
fn a_hub_that_does_not_settle_holds_a_message_back_for_a_minute_at_most() {
    let mut desk = Desk::new(1..=3);
    desk.fall_into_suspicion(1);
    (0..REFUSALS - 1).for_each(|_| desk.refuse(0));
    let connected = desk.now;
    desk.suspects.connected(connected);
    while desk.step(false) == Step::Nothing {
        desk.now = desk.suspects.next_due().expect("a timer");
    }
    assert_eq!(desk.now.since(connected), HELD_MAX);
}

/// How many refusals it takes until a witness is heard; `None` if none is.
fn refusals_needed(survived: Duration) -> Option<u32> {
    let mut desk = Desk::new(1..=3);
    desk.fall_into_suspicion(1);
    for _ in 0..1000 {
        assert_eq!(desk.connect(), Step::One(0));
        desk.pass(survived);
        desk.suspects.lost(End::Closed, Some(1), desk.now);
        if desk.suspects.wants_witness() {
            let trial = desk.suspects.trial.as_ref();
            return trial.map(|trial| trial.suspects[0].refusals);
        }
    }
    None
}

#[test]
fn the_longer_a_suspect_survives_the_more_refusals_are_needed() {
    let needed = [10, 2000, 5000, 10_000]
        .map(|ms| refusals_needed(Duration::from_millis(ms)).expect("a witness is heard"));
    println!("{needed:?}");
    assert_eq!(needed[0], REFUSALS);
    assert!(needed.is_sorted_by(|one, next| one < next), "{needed:?}");
    assert!(needed[3] < 25, "{needed:?}");
    let proves_nothing = refusals_needed(HOLD_MAX + Duration::from_secs(1));
    assert_eq!(proves_nothing, None);
}
