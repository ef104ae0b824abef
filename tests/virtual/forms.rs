//! A person named in the wrong form of id (`whatsapp-reality.md` §2.4): what the events tell is not always what the gateway
//! takes.

use crate::lab::{self, Lab, Setup, experiment};
use perimeterd::{
    action::{Class, RowState},
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Dialect, Engine, Fault, Gateway, Kind, Options, Role, Target, Via},
    store::Filter,
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Events name people by phone; the group goes by LIDs, and takes nothing else.
fn setup() -> Setup {
    let gateway = Gateway { engine: Engine::Webjs, strict_ids: true, ..Gateway::default() };
    let simulator = Options { dialect: Dialect::Docs, gateway, ..Options::default() };
    let config = format!(
        "{}[pacing]
ramp = \"0s\"
",
        lab::BLACKLISTED
    );
    Setup {
        config,
        files: lab::blacklist(
            "+4915100000001
",
        ),
        simulator,
        ..Setup::default()
    }
}

fn club() -> GroupId {
    GroupId::parse("120363000000000001@g.us").unwrap()
}

fn listed() -> Person {
    Person::of_phone(Phone::from_u64(4_915_100_000_001).unwrap())
}

/// A guarded group that somebody on the blacklist enters while no roster can be read.
async fn entered() -> Lab {
    let mut lab = Lab::new(setup());
    lab.sim.add_group(&club(), "Club", Addressing::Lid, Role::Admin);
    assert!(lab.start().await);
    lab.pass(HOUR).await;
    let broken = Kind::Status { status: 503, body: "oops".into(), effect: false };
    lab.sim.add_fault(Fault::new(Target::Class(Class::Read), broken));
    lab.sim.join(&club(), &[listed()], Via::Link).await;
    lab.pass(HOUR).await;
    lab
}

async fn removals(lab: &Lab) -> Vec<(RowState, u32)> {
    let rows = lab.store.outbox(Filter::default()).await.unwrap();
    rows.iter().filter(|row| row.call.class() == Class::Remove).map(|row| (row.state, row.attempts)).collect()
}

#[test]
fn who_is_known_by_the_wrong_form_of_id_is_removed_as_the_next_roster_names_them() {
    experiment(1, async {
        let lab = entered().await;
        assert_eq!(removals(&lab).await, [(RowState::Waiting, 1)], "it waits for a roster, and calls nobody");
        lab.sim.faults().clear();
        lab.pass(HOUR).await;
        assert!(!lab.sim.with(|world| world.is_member(&club(), listed())));
        assert_eq!(removals(&lab).await, [(RowState::Done, 2)]);
    });
}

#[test]
fn an_id_that_is_wrong_in_the_rosters_form_too_is_refused_and_told() {
    experiment(1, async {
        let lab = entered().await;
        lab.sim.faults().clear();
        let text = "Evaluation failed: Error: expected at least 1 children, but found 0";
        let wrong = Kind::Upstream { message: text.into() };
        lab.sim.add_fault(Fault::new(Target::Class(Class::Remove), wrong));
        lab.pass(HOUR).await;
        let found = removals(&lab).await;
        assert!(matches!(found[..], [(RowState::Refused, 2..=4)]), "{found:?}");
        let told = lab.ask("GET", "/metrics", "").await.unwrap().1;
        assert!(told.contains(r#"perimeterd_alerts_total{kind="delivery"} 1"#), "{told}");
    });
}
