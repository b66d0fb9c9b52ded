//! How two types differ: in what they are, or only in where null may stand.

use apollo_compiler::ast::Type;

/// Which way a value travels. What breaks us in one direction is harmless in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Railway answers with it.
    Output,
    /// We send it.
    Input,
}

/// What ours and Railway's differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// Another name or another depth of lists.
    Type,
    /// Null may stand where the other side does not expect it.
    Breaking,
    /// Null is excluded by the side that would send it.
    Harmless,
}

pub(super) fn difference(ours: &Type, railways: &Type, direction: Direction) -> Option<Difference> {
    let bare = |ty: &Type| ty.to_string().replace('!', "");
    let (sent, expected) = match direction {
        Direction::Output => (railways, ours),
        Direction::Input => (ours, railways),
    };
    if ours == railways {
        None
    } else if bare(ours) != bare(railways) {
        Some(Difference::Type)
    } else if sent.is_assignable_to(expected) {
        Some(Difference::Harmless)
    } else {
        Some(Difference::Breaking)
    }
}

#[cfg(test)]
mod tests {
    use apollo_compiler::ast::Type;

    use super::*;

    fn between(ours: &str, railways: &str, direction: Direction) -> Option<Difference> {
        let parse = |text: &str| Type::parse(text, "type").unwrap();
        difference(&parse(ours), &parse(railways), direction)
    }

    #[test]
    fn null_breaks_in_the_direction_in_which_it_was_not_expected() {
        use Difference::{Breaking, Harmless};
        use Direction::{Input, Output};
        for (ours, railways) in [("T!", "T"), ("[T!]", "[T]"), ("[T]!", "[T]")] {
            assert_eq!(between(ours, railways, Output), Some(Breaking), "{ours}");
            assert_eq!(between(railways, ours, Output), Some(Harmless), "{ours}");
            assert_eq!(between(ours, railways, Input), Some(Harmless), "{ours}");
            assert_eq!(between(railways, ours, Input), Some(Breaking), "{ours}");
        }
        assert_eq!(between("[T!]", "[T]!", Output), Some(Breaking));
        assert_eq!(between("[T!]", "[T]!", Input), Some(Breaking));
        assert_eq!(between("[T!]!", "[T!]!", Output), None);
    }

    #[test]
    fn another_name_or_another_depth_of_lists_is_another_type() {
        for (ours, railways) in [("T", "U"), ("T", "[T]"), ("[T]", "T!"), ("[[T]]", "[T]")] {
            let found = between(ours, railways, Direction::Output);
            assert_eq!(found, Some(Difference::Type), "{ours}");
        }
    }
}
