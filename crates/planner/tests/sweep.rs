//! What the sweep removes, what it only reports, and what it must never touch.

#[expect(
    dead_code,
    reason = "each test binary uses its own part of the builders"
)]
mod world;

use std::collections::{HashMap, HashSet};

use pool_domain::sweep::*;
use pool_domain::*;
use pool_planner::sweep::*;
use pool_planner::{Index, Snapshot};
use proptest::prelude::*;
use world::*;

/// What is outside, what is recorded, and what is known of the past.
#[derive(Debug, Clone)]
struct Scene {
    rows: Vec<Instance>,
    provisions: Vec<ResourceRecord>,
    sight: Sight,
    records: Records,
}

impl Scene {
    fn empty() -> Self {
        let Snapshot {
            listing,
            rows,
            provisions,
            ..
        } = snapshot(Vec::new(), Vec::new());
        Self {
            rows,
            provisions,
            sight: Sight {
                listing,
                keys: Listed::Complete(Vec::new()),
                inboxes: Listed::Complete(Vec::new()),
            },
            records: Records::default(),
        }
    }

    fn key(mut self, hash: &str, name: &str) -> Self {
        let Listed::Complete(keys) = &mut self.sight.keys else {
            panic!("the list is whole");
        };
        keys.push(ListedKey {
            hash: hash.into(),
            name: Some(name.to_owned()),
        });
        self
    }

    fn inbox(mut self, name: &str) -> Self {
        let Listed::Complete(inboxes) = &mut self.sight.inboxes else {
            panic!("the list is whole");
        };
        inboxes.push(ListedInbox {
            inbox_id: format!("{name}@agentmail.to").as_str().into(),
            client_id: Some(name.to_owned()),
        });
        self
    }

    fn service(mut self, service: ObservedService) -> Self {
        self.sight.listing.services.push(service);
        self
    }

    fn volume(mut self, volume: ObservedVolume) -> Self {
        self.sight.listing.volumes.push(volume);
        self
    }

    fn row(mut self, row: Instance) -> Self {
        self.rows.push(row);
        self
    }

    fn provision(mut self, provision: ResourceRecord) -> Self {
        self.provisions.push(provision);
        self
    }

    /// What was recorded once of an instance.
    fn recorded(mut self, n: usize, kind: Belonging, outside_id: &str) -> Self {
        let owners = &mut self.records.owners;
        owners.insert((kind, outside_id.to_owned()), id(n));
        self
    }

    /// An instance that is gone: the name of its intent is known.
    fn gone(self, n: usize) -> Self {
        let name = name(n);
        self.recorded(n, Belonging::Name, &name)
    }

    fn plan(&self) -> SweepPlan {
        let Self {
            rows,
            provisions,
            sight,
            records,
        } = self;
        sweep(rows, provisions, sight, records, &identity())
    }

    /// `kind id` of what it removes, and of what it reports.
    fn verdicts(&self) -> (String, String) {
        let plan = self.plan();
        (told(&plan.remove), told(&plan.report))
    }
}

fn told(found: &[Found]) -> String {
    let found = found.iter();
    let told: Vec<_> = found
        .map(|it| format!("{} {}", it.thing.kind(), it.thing.id()))
        .collect();
    told.join(", ")
}

fn name(n: usize) -> String {
    identity().prefix.name_of(&id(n))
}

fn detached(n: usize) -> ObservedVolume {
    ObservedVolume {
        service_id: None,
        ..world::volume(n)
    }
}

fn bare(n: usize) -> ObservedService {
    ObservedService {
        deployment: None,
        has_active_deployment: false,
        image: None,
        host: None,
        ..world::service(n)
    }
}

#[test]
fn what_was_made_for_an_instance_that_is_gone_is_removed() {
    let scene = Scene::empty()
        .gone(1)
        .recorded(1, Belonging::Service, "service-1")
        .recorded(1, Belonging::Volume, "volume-2")
        .key("k1", &name(1))
        .inbox(&name(1))
        .service(bare(1))
        .volume(volume(1))
        .volume(detached(2));
    let inbox = format!("inbox {}@agentmail.to", name(1));
    let removed = format!("volume volume-1, volume volume-2, service service-1, key k1, {inbox}");
    assert_eq!(scene.verdicts(), (removed, String::new()));
    assert!(
        scene
            .plan()
            .remove
            .iter()
            .all(|it| it.instance_id == Some(id(1)))
    );
}

#[test]
fn what_only_bears_our_prefix_is_reported_and_everything_else_left_unsaid() {
    let scene = Scene::empty()
        .key("k1", &name(1))
        .key("k2", "somebody-elses")
        .inbox(&name(1))
        .inbox("somebody-elses")
        .service(service(1))
        .volume(volume(1))
        .service(ObservedService {
            name: "postgres".to_owned(),
            ..service(2)
        })
        .volume(volume(2))
        .volume(detached(3));
    let reported = format!(
        "volume volume-1, volume volume-3, service service-1, key k1, inbox {}@agentmail.to",
        name(1)
    );
    assert_eq!(scene.verdicts(), (String::new(), reported));
}

#[test]
fn nothing_of_an_instance_with_a_row_or_a_provision_is_touched() {
    let everything = Scene::empty()
        .gone(1)
        .recorded(1, Belonging::Volume, "volume-1")
        .recorded(1, Belonging::Key, "k1")
        .key("k1", &name(1))
        .inbox(&name(1))
        .volume(detached(1));
    let with_row = everything.clone().row(row(1, Status::Dead));
    assert_eq!(with_row.verdicts(), Default::default());
    for stage in [
        Stage::Creating(CreateStep::Key),
        Stage::Creating(CreateStep::Commit),
        Stage::Created,
        Stage::Destroying,
    ] {
        let with_provision = everything.clone().provision(provision(1, stage));
        assert_eq!(with_provision.verdicts(), Default::default(), "{stage:?}");
    }
    assert_eq!(everything.plan().remove.len(), 3);
}

#[test]
fn a_key_that_a_later_one_replaced_is_removed_and_the_later_one_is_not() {
    let whole = |stage| {
        Scene::empty()
            .row(row(1, Status::Idle))
            .provision(ResourceRecord {
                openrouter_key_hash: Some("second".into()),
                ..provision(1, stage)
            })
            .key("first", &name(1))
            .key("second", &name(1))
    };
    assert_eq!(whole(Stage::Created).verdicts().0, "key first");
    for in_between in [Stage::Creating(CreateStep::Commit), Stage::Destroying] {
        assert_eq!(whole(in_between).verdicts(), Default::default());
    }
}

#[test]
fn a_key_that_a_row_names_is_needed_whatever_its_provision_says() {
    let scene = Scene::empty()
        .row(Instance {
            openrouter_key_hash: Some("first".into()),
            ..row(1, Status::Claimed)
        })
        .provision(ResourceRecord {
            openrouter_key_hash: Some("second".into()),
            ..provision(1, Stage::Created)
        })
        .key("first", &name(1));
    assert_eq!(scene.verdicts(), Default::default());
}

#[test]
fn an_old_row_without_a_record_keeps_whatever_bears_its_name() {
    let scene = Scene::empty()
        .row(row(1, Status::Claimed))
        .key("k1", &name(1))
        .key("k2", &name(1))
        .inbox(&name(1));
    assert_eq!(scene.verdicts(), Default::default());
}

#[test]
fn a_volume_of_a_gone_instance_that_another_service_uses_is_only_reported() {
    let attached_elsewhere = ObservedVolume {
        service_id: Some(service_id(2)),
        ..volume(1)
    };
    let scene = Scene::empty()
        .recorded(1, Belonging::Volume, "volume-1")
        .service(ObservedService {
            name: "postgres".to_owned(),
            ..service(2)
        })
        .volume(attached_elsewhere);
    assert_eq!(
        scene.verdicts(),
        (String::new(), "volume volume-1".to_owned())
    );
    let by_ours = scene.row(row(2, Status::Claimed));
    assert_eq!(by_ours.verdicts(), Default::default());
}

#[test]
fn a_volume_pending_deletion_is_none() {
    let gone = ObservedVolume {
        pending_deletion: true,
        ..detached(1)
    };
    let scene = Scene::empty().recorded(1, Belonging::Volume, "volume-1");
    assert_eq!(scene.volume(gone).verdicts(), Default::default());
}

#[test]
fn a_service_whose_row_the_event_log_still_expects_is_left_to_adoption_with_its_key() {
    let mut scene = Scene::empty()
        .gone(1)
        .service(service(1))
        .volume(volume(1))
        .key("k1", &name(1));
    let last = &mut scene.records.last_events;
    last.insert(service_id(1), LastEvent::ClaimedOrCrashed);
    assert_eq!(scene.verdicts().0, "");
    let last = &mut scene.records.last_events;
    last.insert(service_id(1), LastEvent::Removed);
    assert_eq!(
        scene.verdicts().0,
        "volume volume-1, service service-1, key k1"
    );
}

#[test]
fn the_event_log_knows_instances_from_before_anything_else_was_recorded() {
    let mut scene = Scene::empty().key("k1", &name(1)).volume(volume(1));
    scene.records.removed.insert(id(1));
    scene
        .records
        .last_events
        .insert(service_id(1), LastEvent::Removed);
    assert_eq!(scene.verdicts().0, "volume volume-1, key k1");
}

#[test]
fn what_the_migration_set_aside_is_reported_and_not_removed() {
    let mut scene = Scene::empty().key("k1", &name(1)).inbox(&name(1));
    let aside = &mut scene.records.set_aside;
    aside.insert(id(1), "never claimed".to_owned());
    let plan = scene.plan();
    assert_eq!((plan.remove.len(), plan.report.len()), (0, 2));
    assert!(plan.report[0].why.ends_with("never claimed"));
    let standing = scene.service(service(1));
    assert_eq!(standing.verdicts().1, "service service-1");
}

#[test]
fn the_manager_itself_is_never_swept() {
    let manager = ObservedService {
        name: InstanceId::MANAGER_SERVICE_NAME.to_owned(),
        ..service(1)
    };
    let scene = Scene::empty()
        .recorded(1, Belonging::Service, "service-1")
        .service(manager);
    assert_eq!(scene.verdicts(), Default::default());
    let me = pool_planner::Identity {
        own_service: Some(service_id(2)),
        ..identity()
    };
    let scene = Scene::empty().gone(2).service(service(2));
    let Scene {
        rows,
        provisions,
        sight,
        records,
    } = &scene;
    assert_eq!(
        sweep(rows, provisions, sight, records, &me),
        SweepPlan::default()
    );
}

#[test]
fn a_list_that_is_not_whole_removes_nothing_of_what_it_holds_and_says_so() {
    let scene = Scene::empty().gone(1).key("k1", &name(1)).inbox(&name(1));
    let mut without_keys = scene.clone();
    without_keys.sight.keys = Listed::Incomplete("page 2 did not arrive".to_owned());
    let plan = without_keys.plan();
    assert_eq!(
        told(&plan.remove),
        format!("inbox {}@agentmail.to", name(1))
    );
    assert_eq!(
        plan.incomplete,
        ["OpenRouter's keys: page 2 did not arrive"]
    );
    let mut without_inboxes = scene.clone();
    without_inboxes.sight.inboxes = Listed::Incomplete("no".to_owned());
    let plan = without_inboxes.plan();
    assert_eq!(
        (told(&plan.remove), plan.incomplete.len()),
        ("key k1".to_owned(), 1)
    );
    let mut blind = scene;
    blind.sight.listing.completeness = Completeness::Incomplete("no".to_owned());
    let plan = blind.plan();
    assert_eq!(
        (plan.remove.len(), plan.report.len(), plan.incomplete.len()),
        (0, 0, 1)
    );
}

#[test]
fn one_sweep_removes_so_many_and_leaves_the_rest_to_the_next() {
    let mut scene = Scene::empty();
    for n in 0..Policy::SWEEP_REMOVALS_MAX + 3 {
        scene = scene.gone(n).key(&format!("k{n}"), &name(n));
    }
    let plan = scene.plan();
    assert_eq!(plan.remove.len(), Policy::SWEEP_REMOVALS_MAX);
    assert_eq!(plan.left_for_later, 3);
}

#[test]
fn a_volume_is_noted_while_it_is_attached_to_a_service_of_ours() {
    let by_provision = ResourceRecord {
        service_id: Some(service_id(2)),
        ..provision(2, Stage::Creating(CreateStep::Volume))
    };
    let scene = Scene::empty()
        .row(row(1, Status::Claimed))
        .provision(by_provision)
        .volume(volume(1))
        .volume(volume(2))
        .volume(volume(3))
        .volume(detached(4));
    let listing = &scene.sight.listing;
    let index = Index::new(&scene.rows, &scene.provisions, listing);
    let seen = attached_volumes(&index, listing);
    assert_eq!(
        seen,
        [("volume-1".into(), id(1)), ("volume-2".into(), id(2))]
    );
}

#[test]
fn the_records_are_asked_of_everything_that_was_seen() {
    let scene = Scene::empty()
        .service(service(1))
        .volume(volume(2))
        .key("k", &name(3))
        .key("l", "somebody-elses")
        .inbox(&name(4));
    let asked = questions(&scene.sight, &identity());
    let asks = |kind, id: &str| asked.owners.contains(&(kind, id.to_owned()));
    assert!(asks(Belonging::Service, "service-1") && asks(Belonging::Service, "service-2"));
    assert!(asks(Belonging::Volume, "volume-2") && asks(Belonging::Key, "k"));
    assert!(asks(Belonging::Inbox, &format!("{}@agentmail.to", name(4))));
    for n in [1, 3, 4] {
        assert!(asks(Belonging::Name, &name(n)), "{n}");
    }
    assert_eq!(asked.ids, [id(1), id(3), id(4)]);
    assert_eq!(asked.services, [service_id(2), service_id(1)]);
}

// Whatever is recorded and whatever is seen.

#[derive(Debug, Clone)]
struct Life {
    row: Option<(Status, bool)>,
    provision: Option<(Stage, bool)>,
    records: [bool; 5],
    removed: bool,
    aside: bool,
    event: Option<LastEvent>,
    service: bool,
    volume: Option<bool>,
    keys: usize,
    inboxes: usize,
}

prop_compose! {
    fn lives()(
        row in prop::option::of((prop::sample::select(Status::ALL.to_vec()), any::<bool>())),
        provision in prop::option::of((stages(), any::<bool>())),
        records in any::<[bool; 5]>(),
        removed in any::<bool>(),
        aside in any::<bool>(),
        event in prop::option::of(prop::sample::select(vec![
            LastEvent::Removed, LastEvent::ClaimedOrCrashed, LastEvent::Other,
        ])),
        service in any::<bool>(),
        volume in prop::option::of(any::<bool>()),
        keys in 0_usize..3,
        inboxes in 0_usize..2,
    ) -> Life {
        Life { row, provision, records, removed, aside, event, service, volume, keys, inboxes }
    }
}

fn stages() -> impl Strategy<Value = Stage> {
    let mut all = CreateStep::ALL.map(Stage::Creating).to_vec();
    all.extend([Stage::Created, Stage::Destroying]);
    prop::sample::select(all)
}

fn scene_of(lives: &[Life]) -> Scene {
    let mut scene = Scene::empty();
    for (n, life) in lives.iter().enumerate() {
        let (volume_id, key) = (format!("volume-{n}"), format!("key-{n}-0"));
        let inbox = format!("{}@agentmail.to", name(n));
        let ids = [&name(n), service_id(n).as_str(), &volume_id, &key, &inbox].map(str::to_owned);
        for ((kind, id), known) in Belonging::ALL.into_iter().zip(ids).zip(life.records) {
            if known {
                scene = scene.recorded(n, kind, &id);
            }
        }
        if let Some((status, has_ids)) = life.row {
            scene = scene.row(Instance {
                openrouter_key_hash: has_ids.then(|| key.as_str().into()),
                agentmail_inbox_id: has_ids.then(|| inbox.as_str().into()),
                ..row(n, status)
            });
        }
        if let Some((stage, has_ids)) = life.provision {
            scene = scene.provision(ResourceRecord {
                service_id: has_ids.then(|| service_id(n)),
                volume_id: has_ids.then(|| volume_id.as_str().into()),
                openrouter_key_hash: has_ids.then(|| key.as_str().into()),
                agentmail_inbox_id: has_ids.then(|| inbox.as_str().into()),
                ..provision(n, stage)
            });
        }
        if life.removed {
            scene.records.removed.insert(id(n));
        }
        if life.aside {
            let aside = &mut scene.records.set_aside;
            aside.insert(id(n), "never claimed".to_owned());
        }
        // What had a row had a service, and then its provision knows it.
        let knows_service = life.provision.is_none_or(|(_, has_ids)| has_ids);
        if let Some(event) = life.event.filter(|_| knows_service) {
            scene.records.last_events.insert(service_id(n), event);
        }
        if life.service {
            scene = scene.service(service(n));
        }
        if let Some(attached) = life.volume {
            scene = scene.volume(if attached { volume(n) } else { detached(n) });
        }
        for k in 0..life.keys {
            scene = scene.key(&format!("key-{n}-{k}"), &name(n));
        }
        if life.inboxes > 0 {
            scene = scene.inbox(&name(n));
        }
    }
    scene
}

/// Whether anything of ours says that there was such an instance.
fn was_ours(life: &Life) -> bool {
    life.records.contains(&true) || life.removed || life.event.is_some()
}

/// What is outside after everything planned was removed.
fn removed(mut scene: Scene, plan: &SweepPlan) -> Scene {
    let gone: HashSet<_> = plan.remove.iter().map(|it| it.thing.clone()).collect();
    let stays = |thing| !gone.contains(&thing);
    let listing = &mut scene.sight.listing;
    listing
        .services
        .retain(|it| stays(Thing::Service(it.service_id.clone())));
    for volume in &mut listing.volumes {
        volume.pending_deletion |= !stays(Thing::Volume(volume.volume_id.clone()));
        let is_there = listing
            .services
            .iter()
            .any(|it| Some(&it.service_id) == volume.service_id.as_ref());
        volume.service_id = volume.service_id.take().filter(|_| is_there);
    }
    if let Listed::Complete(keys) = &mut scene.sight.keys {
        keys.retain(|it| stays(Thing::Key(it.hash.clone())));
    }
    if let Listed::Complete(inboxes) = &mut scene.sight.inboxes {
        inboxes.retain(|it| stays(Thing::Inbox(it.inbox_id.clone())));
    }
    scene
}

fn number_of(found: &Found) -> usize {
    let owners: HashMap<_, _> = (0..8).map(|n| (id(n), n)).collect();
    let digits = found
        .thing
        .id()
        .split('-')
        .nth(1)
        .and_then(|n| n.parse().ok());
    let by_name = || {
        let name = found.name.as_deref()?;
        let id = InstanceId::from_service_name(&identity().prefix, name)?;
        owners.get(&id).copied()
    };
    by_name()
        .or(digits)
        .unwrap_or_else(|| panic!("whose is {found:?}?"))
}

proptest! {
    #[test]
    fn nothing_that_a_row_or_a_provision_needs_is_ever_removed(
        lives in prop::collection::vec(lives(), 1..6),
    ) {
        let scene = scene_of(&lives);
        for found in scene.plan().remove {
            let life = &lives[number_of(&found)];
            let is_in_hand = life.row.is_some() || life.provision.is_some();
            let is_replaced = matches!(&found.thing, Thing::Key(hash) if !hash.as_str().ends_with("-0"))
                && life.provision == Some((Stage::Created, true));
            prop_assert!(!is_in_hand || is_replaced, "{found:?} of {life:?}");
            prop_assert!(was_ours(life) || is_replaced, "{found:?} of {life:?}");
        }
    }

    #[test]
    fn a_service_that_may_be_somebodys_keeps_everything(
        lives in prop::collection::vec(lives(), 1..6),
    ) {
        let scene = scene_of(&lives);
        for found in scene.plan().remove {
            let life = &lives[number_of(&found)];
            let is_kept = life.service
                && matches!(life.event, Some(LastEvent::ClaimedOrCrashed | LastEvent::Other))
                && life.row.is_none() && life.provision.is_none();
            prop_assert!(!is_kept, "{found:?} of {life:?}");
        }
    }

    #[test]
    fn a_sweep_after_a_sweep_removes_nothing_and_the_same_input_gives_the_same_plan(
        lives in prop::collection::vec(lives(), 1..6),
    ) {
        let scene = scene_of(&lives);
        let plan = scene.plan();
        prop_assert_eq!(&plan, &scene.plan());
        let again = removed(scene, &plan).plan();
        prop_assert_eq!(again.remove, Vec::new());
    }

    #[test]
    fn nothing_is_removed_where_a_list_is_not_whole(
        lives in prop::collection::vec(lives(), 1..6),
        which in 0_usize..3,
    ) {
        let mut scene = scene_of(&lives);
        let why = "cut off".to_owned();
        match which {
            0 => scene.sight.listing.completeness = Completeness::Incomplete(why),
            1 => scene.sight.keys = Listed::Incomplete(why),
            _ => scene.sight.inboxes = Listed::Incomplete(why),
        }
        let plan = scene.plan();
        prop_assert_eq!(plan.incomplete.len(), 1);
        for found in plan.remove {
            match which {
                0 => prop_assert!(false, "{found:?}"),
                1 => prop_assert!(!matches!(found.thing, Thing::Key(_)), "{found:?}"),
                _ => prop_assert!(!matches!(found.thing, Thing::Inbox(_)), "{found:?}"),
            }
        }
    }

    #[test]
    fn without_a_record_nothing_is_removed_however_it_is_called(
        lives in prop::collection::vec(lives(), 1..6),
    ) {
        let mut scene = scene_of(&lives);
        scene.rows.clear();
        scene.provisions.clear();
        scene.records = Records::default();
        prop_assert_eq!(scene.plan().remove, Vec::new());
    }
}
