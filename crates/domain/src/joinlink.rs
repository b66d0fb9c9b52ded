//! Which join links a claim may carry: a link of the development network is worth nothing in
//! production, and the other way round.

/// A join link of the wrong network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongNetwork {
    /// A development link in production.
    #[error("dev.convos.org links cannot be used in the production environment")]
    DevelopmentInProduction,
    /// A production link elsewhere.
    #[error("popup.convos.org links cannot be used in the {0} environment")]
    ProductionElsewhere(String),
}

/// Refuses a link that holds the host of the wrong network, both the host and `production` in any case
/// of letters. Any other text is the agent's to judge.
///
/// # Errors
///
/// [`WrongNetwork`], with the network that the link is of.
pub fn check(join_url: &str, environment: &str) -> Result<(), WrongNetwork> {
    let link = join_url.to_ascii_lowercase();
    if environment.eq_ignore_ascii_case("production") {
        if link.contains("dev.convos.org") {
            return Err(WrongNetwork::DevelopmentInProduction);
        }
    } else if link.contains("popup.convos.org") {
        return Err(WrongNetwork::ProductionElsewhere(environment.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_of_the_wrong_network_is_refused_in_any_case() {
        assert_eq!(
            check("https://DEV.convos.org/x", "production")
                .unwrap_err()
                .to_string(),
            "dev.convos.org links cannot be used in the production environment"
        );
        assert_eq!(
            check("https://Popup.Convos.org/x", "staging")
                .unwrap_err()
                .to_string(),
            "popup.convos.org links cannot be used in the staging environment"
        );
        for production in ["production", "Production", "PRODUCTION"] {
            assert_eq!(check("https://popup.convos.org/x", production), Ok(()));
            let refused = check("https://dev.convos.org/x", production);
            assert_eq!(refused, Err(WrongNetwork::DevelopmentInProduction));
        }
        assert_eq!(check("https://dev.convos.org/x", "staging"), Ok(()));
        assert_eq!(check("a-slug", "production"), Ok(()));
    }

    proptest! {
        #[test]
        fn no_link_makes_it_panic_and_each_is_refused_in_one_environment_at_most(
            link in "\\PC{0,60}(dev|popup|POPUP)?\\.?(convos\\.ORG)?\\PC{0,20}",
        ) {
            let production = check(&link, "production").is_err();
            let staging = check(&link, "staging").is_err();
            let lower = link.to_ascii_lowercase();
            prop_assert_eq!(production, lower.contains("dev.convos.org"));
            prop_assert_eq!(staging, lower.contains("popup.convos.org"));
        }
    }
}
