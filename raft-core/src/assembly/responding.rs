//! Answering the sweeps of others, when the node was told to.

use raft_core_discovery::{Answer, Responder};

use crate::assembly::gathering::Gathering;
use crate::identity::Identity;
use crate::identity::cluster_line::NO_CLUSTER;

/// What is said in place of a cluster's name by a node that belongs to none.
const FRESH: &str = "none";

/// The answering side of the sweep, if there is one; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Responding(Option<Responder>);

impl Responding {
    /// Starts to answer, if the node was told to. A port that cannot be had is a warning: it is
    /// one way among others to be found.
    pub(crate) async fn start(gathering: &Gathering, identity: Identity) -> Responding {
        let Some(listen) = gathering.settings.answer_sweeps_at else { return Responding(None) };
        let port = gathering.own.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let cluster = match identity.cluster_id {
            NO_CLUSTER => FRESH.to_owned(),
            cluster => hex::encode(cluster),
        };
        let answer = match Answer::new(port.unwrap_or_default(), &cluster) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "sweeps are not answered");
                return Responding(None);
            }
        };
        match Responder::bind(listen, answer).await {
            Ok(responder) => Responding(Some(responder)),
            Err(error) => {
                tracing::warn!(%error, %listen, "sweeps are not answered");
                Responding(None)
            }
        }
    }

    /// The same with another answer: the node belongs to a cluster now.
    pub(crate) async fn renew(self, gathering: &Gathering, identity: Identity) -> Responding {
        if let Some(responder) = self.0 {
            responder.shutdown().await;
        }
        Responding::start(gathering, identity).await
    }
}
