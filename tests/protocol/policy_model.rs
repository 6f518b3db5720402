//! Nothing leaked, as a model: thousands of random meshes, agreements, labels and recipients, with relays that forge
//! every unsigned part. Wherever the real policy lets an event go, hop by hop, a slow rule that is written down from
//! the table of SECURITY.md alone must allow it. It says nothing of liveness: what should arrive is the simulator's.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use intelmesh::testing::policy;
use intelmesh::{Body, Core, HopPath, Peer, PublisherName, Receive, SealOpener, Share, Timestamp, Tlp};
use support::Dice;

const MESHES: u64 = 4_000;
const NOW: Timestamp = Timestamp(1_000_000);
const LABELS: [Tlp; 5] = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];

/// Who has an agreement with whom: what `peers/TO.toml` at `from` says.
type Mesh = BTreeMap<(usize, usize), Peer>;

fn name(node: usize) -> PublisherName {
    PublisherName::parse(&format!("cert-{node}")).unwrap()
}

fn pick<T: Clone>(dice: &mut Dice, from: &[T]) -> T {
    from[dice.below(from.len() as u64) as usize].clone()
}

fn coin(dice: &mut Dice, of: u64) -> bool {
    dice.below(of) == 0
}

fn peer(node: usize, dice: &mut Dice) -> Peer {
    Peer {
        paused: coin(dice, 12),
        revoked: coin(dice, 20),
        share: Share { tlp_max: pick(dice, &LABELS), seal: coin(dice, 6), filter: None },
        receive: Receive { relay: !coin(dice, 4), ..Receive::default() },
        ..Peer::new(name(node), SigningKey::from_bytes(&[node as u8 + 1; 32]).verifying_key())
    }
}

fn mesh(nodes: usize, dice: &mut Dice) -> Mesh {
    let mut mesh = Mesh::new();
    for from in 0..nodes {
        for to in from + 1..nodes {
            if !coin(dice, 3) {
                mesh.insert((from, to), peer(to, dice));
                mesh.insert((to, from), peer(from, dice));
            }
        }
    }
    mesh
}

fn event(nodes: usize, dice: &mut Dice) -> Core {
    let to: BTreeSet<usize> = (0..dice.below(4)).map(|_| 1 + dice.below(nodes as u64 - 1) as usize).collect();
    let sealed = !to.is_empty() && coin(dice, 2);
    Core {
        id: format!("cert-0:intelmq:{}", dice.uuid()).parse().unwrap(),
        created: NOW,
        expires: coin(dice, 5).then(|| if coin(dice, 2) { NOW.minus_ms(1) } else { NOW.plus_ms(1) }),
        tlp: pick(dice, &LABELS),
        to: to.into_iter().map(name).collect(),
        max_hops: 8,
        body: if sealed { Body::Sealed("…".into()) } else { Body::Plain("{\"a\":1}".into()) },
        ..intelmesh::testing::fixture::core()
    }
}

/// What a relay claims: any hops at all, the publisher's own name left out or put in; only the last is checked.
fn forged_path(holder: usize, nodes: usize, dice: &mut Dice) -> HopPath {
    let before = dice.below(5);
    let mut hops: Vec<PublisherName> = (0..before).map(|_| name(dice.below(nodes as u64) as usize)).collect();
    if holder != 0 || coin(dice, 2) {
        hops.push(name(holder));
    }
    HopPath::new(hops).unwrap()
}

/// Everybody who comes to hold it where all obey their own policy and forge what nobody signed.
fn spread(core: &Core, mesh: &Mesh, nodes: usize, dice: &mut Dice) -> BTreeSet<usize> {
    let mut holders = BTreeSet::from([0]);
    loop {
        let before = holders.len();
        for from in holders.clone() {
            for to in (0..nodes).filter(|to| *to != from) {
                let (Some(file), Some(theirs)) = (mesh.get(&(from, to)), mesh.get(&(to, from))) else {
                    continue;
                };
                let trusts_publisher =
                    to == 0 || mesh.get(&(to, 0)).is_some_and(|publisher| !publisher.revoked);
                let path = if from == 0 { HopPath::default() } else { forged_path(from, nodes, dice) };
                let shared =
                    !file.is_cut() && policy::share(core, &path, &name(from).into(), file, Some(NOW)).is_ok();
                let arrives = forged_path(from, nodes, dice);
                let taken =
                    !theirs.is_cut() && policy::receive(core, &arrives, &name(to).into(), theirs).is_ok();
                if shared && taken && trusts_publisher {
                    holders.insert(to);
                }
            }
        }
        if holders.len() == before {
            return holders;
        }
    }
}

/// The slow rule: may `node` ever hold it? By the label's row of the table, whatever way it came.
fn may_hold(core: &Core, mesh: &Mesh, node: usize) -> bool {
    if node == 0 {
        return true;
    }
    let sealed = core.body.is_sealed();
    let named = core.to.contains(&name(node));
    let by_publisher = mesh.get(&(0, node)).filter(|file| !file.is_cut());
    // Somebody there must have agreed to give such a label to this node, or it is sealed for it.
    let agreed = mesh.iter().any(|((_, to), file)| {
        *to == node && !file.is_cut() && (file.share.tlp_max >= core.tlp || sealed && named)
    });
    let direct = by_publisher.is_some_and(|file| file.share.tlp_max >= core.tlp || sealed && named);
    let alive = core.expires.is_none_or(|end| end > NOW);
    let audience = core.to.is_empty() || named;
    alive
        && agreed
        && match core.tlp {
            Tlp::Clear | Tlp::Green => sealed || audience,
            Tlp::Amber => sealed || audience && direct,
            // Sealed to named recipients: others of the chain may carry it only where they are named too.
            Tlp::AmberStrict => sealed && named,
            Tlp::Red => sealed && named && direct,
        }
}

/// May a consumer at `node` read it?
fn may_read(core: &Core, node: usize) -> bool {
    !core.body.is_sealed() || core.to.contains(&name(node))
}

#[test]
fn nothing_reaches_a_node_or_a_reader_that_the_slow_rule_forbids_whatever_relays_forge() {
    let mut dice = Dice::announced(
        "nothing_reaches_a_node_or_a_reader_that_the_slow_rule_forbids_whatever_relays_forge",
    );
    let (mut held, mut travelled, mut withheld) = (0u64, 0u64, 0u64);
    for _ in 0..MESHES {
        let nodes = 2 + dice.below(6) as usize;
        let mesh = mesh(nodes, &mut dice);
        for _ in 0..5 {
            let core = event(nodes, &mut dice);
            let holders = spread(&core, &mesh, nodes, &mut dice);
            for node in &holders {
                assert!(
                    may_hold(&core, &mesh, *node),
                    "{} must not reach cert-{node}: {core:?}\n{mesh:#?}",
                    core.tlp
                );
                let reads = !core.body.is_sealed() || SealOpener::new(name(*node), []).is_recipient(&core);
                assert!(!reads || may_read(&core, *node), "cert-{node} must not read it: {core:?}");
            }
            held += holders.len() as u64;
            travelled += u64::from(holders.len() > 2);
            withheld += u64::from(holders.len() == 1);
        }
    }
    // A model that moves nothing, or holds nothing back, shows nothing.
    assert!(
        travelled > MESHES / 10 && withheld > MESHES / 10,
        "{held} held, {travelled} travelled, {withheld} stayed"
    );
}
