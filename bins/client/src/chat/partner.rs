//! To whom a typed line goes.

use telegraph_proto::account::Username;

/// The person a line without an addressee is for.
///
/// - Whoever was chosen stays until another choice; otherwise it is whom was written to last, and
///   before anything was written who was heard from first. Hearing from somebody never redirects a
///   line that is being typed to somebody else.
#[derive(Debug, Default)]
pub(crate) struct Partner {
    who: Option<Username>,
    is_chosen: bool,
}

impl Partner {
    /// Who it is, if there is anybody.
    pub(crate) fn who(&self) -> Option<&Username> {
        self.who.as_ref()
    }

    /// The person said so; `None`: nobody in particular.
    pub(crate) fn choose(&mut self, who: Option<Username>) {
        self.is_chosen = who.is_some();
        self.who = who;
    }

    /// Somebody wrote. True when lines go to them from now on.
    pub(crate) fn hear(&mut self, who: &Username) -> bool {
        self.who.is_none() && self.follow(who)
    }

    /// Somebody was written to. True when lines go to somebody else from now on.
    pub(crate) fn follow(&mut self, who: &Username) -> bool {
        if self.is_chosen || self.who.as_ref() == Some(who) {
            return false;
        }
        self.who = Some(who.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    #[test]
    fn lines_go_to_the_last_one_written_to_unless_somebody_was_chosen() {
        let (bob, carol) = (name("bob"), name("carol"));
        let mut partner = Partner::default();
        assert_eq!(partner.who(), None);
        assert!(partner.hear(&bob));
        assert!(!partner.hear(&carol));
        assert_eq!(partner.who(), Some(&bob));
        assert!(!partner.follow(&bob));
        assert!(partner.follow(&carol));
        assert!(!partner.hear(&bob));
        partner.choose(Some(bob.clone()));
        assert!(!partner.follow(&carol));
        assert_eq!(partner.who(), Some(&bob));
        partner.choose(None);
        assert_eq!(partner.who(), None);
        assert!(partner.follow(&carol));
    }
}
