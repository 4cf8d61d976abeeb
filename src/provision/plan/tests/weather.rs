//! What becomes of requests, as the weather is.

use super::dice::Dice;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out, and the answer says that something went wrong, or cannot be read.
    DoneThenFailed,
    /// It is not carried out, but nobody knows.
    Failed,
    /// No answer before the deadline; carried out at some time until then.
    TimedOut,
    Refused,
    Throttled,
    NotSent,
    /// The process dies before it sends.
    CrashBefore,
    /// The process dies while the request is open; it is carried out at some time until the deadline.
    CrashOpen,
    /// The process dies after the answer, before it is stored.
    CrashAfter,
}

/// How the world treats requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// Everything works.
    Fair,
    /// Anything may happen.
    Foul,
    /// The app is down.
    Down,
}

impl Weather {
    /// What becomes of the next request.
    pub fn fate(self, dice: &mut Dice) -> Fate {
        match self {
            Weather::Fair => Fate::Answered,
            Weather::Down => match dice.below(3) {
                0 => Fate::Failed,
                1 => Fate::NotSent,
                _ => Fate::TimedOut,
            },
            Weather::Foul => match dice.below(100) {
                0..7 => Fate::DoneThenFailed,
                7..11 => Fate::Failed,
                11..15 => Fate::TimedOut,
                15..19 => Fate::Refused,
                19..22 => Fate::Throttled,
                22..25 => Fate::NotSent,
                25..28 => Fate::CrashBefore,
                28..34 => Fate::CrashOpen,
                34..38 => Fate::CrashAfter,
                _ => Fate::Answered,
            },
        }
    }
}
