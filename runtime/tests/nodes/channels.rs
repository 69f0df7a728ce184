//! Log channels over real sockets: assigned by whoever leads, written to and read from over the loss of nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use trefoil_core::channels::client::ClientConfig;
use trefoil_core::channels::dialect::Dialect;
use trefoil_core::election::{ElectionConfig, Memory};
use trefoil_core::limits::Limits;
use trefoil_core::ring::membership::PartitionPolicy;
use trefoil_store::Store;

use super::harness::{Sums, calling, free_host, named, soon, store, until};
use crate::runtime::channels::{
    Acknowledge, ChannelInfo, Connection, ConsumerOptions, DedupeOptions, From, ProducerOptions,
    RecordFilter,
};
use crate::runtime::{
    ChannelClient, ChannelOperator, ChannelsConfig, Client, Node, Remedy, run, sleep, spawn,
    timeout,
};

/// A test that fails waits so long.
const LONG: Duration = Duration::from_secs(60);

struct Cluster {
    hosts: Vec<String>,
    store: Store,
    nodes: Vec<Option<Node>>,
    operator: ChannelOperator,
    dialect: Dialect,
    /// The largest message that nodes take and send.
    bytes_max: u32,
}

impl Cluster {
    /// Nodes that all vote, and share a store.
    async fn of(count: usize) -> Self {
        Self::that_speak(Dialect::Seed, count).await
    }

    async fn that_speak(dialect: Dialect, count: usize) -> Self {
        Self::with(dialect, count, Limits::default().frame_bytes_max).await
    }

    async fn with(dialect: Dialect, count: usize, bytes_max: u32) -> Self {
        let hosts: Vec<String> = (0..count).map(|_| free_host()).collect();
        let client = Client::start(calling(&hosts)).unwrap();
        let mut cluster = Self {
            store: store(),
            nodes: (0..count).map(|_| None).collect(),
            operator: ChannelOperator::new(client, LONG),
            hosts,
            dialect,
            bytes_max,
        };
        for at in 0..count {
            cluster.start(at).await;
        }
        cluster
    }

    async fn start(&mut self, at: usize) {
        let host = &self.hosts[at];
        let mut options = named(host.clone(), "channels");
        options.join.clone_from(&self.hosts);
        options.incarnation = self.store.begin_incarnation(host).unwrap();
        options.membership.partition = PartitionPolicy::KeepQuorum;
        options.election = Some(ElectionConfig {
            memory: Memory::Kept { first: true },
            ..ElectionConfig::lan(0, &self.hosts)
        });
        let mut channels = ChannelsConfig::default();
        channels.coordinator.expected_nodes = self.hosts.len() as u32;
        options.limits.frame_bytes_max = self.bytes_max;
        channels.worker.message_bytes_max = self.bytes_max;
        channels.worker.dialect = self.dialect;
        channels.coordinator.dialect = self.dialect;
        options.channels = Some(channels);
        let node = Node::spawn(options, Sums::default(), self.store.session(host));
        self.nodes[at] = Some(soon(node).await.unwrap());
    }

    fn client(&self) -> ChannelClient {
        let mut options = calling(&self.hosts);
        options.limits.frame_bytes_max = self.bytes_max;
        options.channels.request_bytes_max = self.bytes_max;
        options.channels.dialect = self.dialect;
        ChannelClient::start(options).unwrap()
    }

    /// Returns when all of these are assigned, to nodes that run.
    async fn assigned(&self, names: &[&str]) {
        let assigned = async {
            loop {
                let listed = self.operator.list().await.unwrap();
                let is_served = |name: &&str| {
                    listed.channels.iter().any(|channel| {
                        let running =
                            |node: &Node| Some(node.handle().host()) == channel.host.as_deref();
                        channel.name == **name
                            && channel.state == "assigned"
                            && self.nodes.iter().flatten().any(running)
                    })
                };
                if names.iter().all(is_served) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(LONG, assigned).await.is_some(), "not assigned");
    }

    async fn create(&self, names: &[&str]) {
        self.operator.create(names).await.unwrap();
        self.assigned(names).await;
    }

    /// Which node has a channel.
    async fn owner(&self, name: &str) -> usize {
        let listed = self.operator.list().await.unwrap();
        let channel = listed.channels.iter().find(|channel| channel.name == name);
        let host = channel.unwrap().host.as_ref().unwrap();
        self.hosts.iter().position(|known| known == host).unwrap()
    }

    async fn end(self) {
        for node in self.nodes.into_iter().flatten() {
            soon(node.kill()).await;
        }
    }
}

fn once(name: &str) -> ProducerOptions {
    ProducerOptions {
        dedupe: Some(DedupeOptions {
            producer: name.into(),
            sequence: 1,
        }),
        ..ProducerOptions::default()
    }
}

fn from_all() -> ConsumerOptions {
    ConsumerOptions {
        from: From::All,
        ..ConsumerOptions::default()
    }
}

#[test]
fn records_are_delivered_in_the_order_they_were_appended() {
    run(async {
        let cluster = Cluster::of(3).await;
        let names = ["orders", "payments", "returns", "stock", "users", "visits"];
        cluster.create(&names).await;
        let listed = cluster.operator.list().await.unwrap();
        for host in &cluster.hosts {
            let has = |channel: &&ChannelInfo| channel.host.as_ref() == Some(host);
            assert_eq!(listed.channels.iter().filter(has).count(), 2, "two a node");
        }
        let client = cluster.client();
        let mut late = client
            .consumer("orders", ConsumerOptions::default())
            .await
            .unwrap();
        let mut opened = late.connection();
        soon(opened.wait_for(|now| matches!(now, Connection::Open { .. })))
            .await
            .unwrap();

        let producer = client
            .producer("orders", ProducerOptions::default())
            .await
            .unwrap();
        let mut sendings = Vec::new();
        for number in 0..1_000_u32 {
            let payload = number.to_string().into_bytes();
            let shop = if number % 2 == 0 { "even" } else { "odd" };
            let sending = producer
                .enqueue(payload, &[("_vc", shop), ("k", "v")])
                .await;
            sendings.push(sending.unwrap());
        }
        let mut ids = Vec::new();
        for (at, sending) in sendings.into_iter().enumerate() {
            let appended = soon(sending).await.unwrap();
            assert_eq!(appended.sequence, at as u64 + 1);
            ids.push(appended.id);
        }
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());

        let mut all = client.consumer("orders", from_all()).await.unwrap();
        let mut tick = 0;
        for (number, id) in ids.iter().enumerate() {
            let record = soon(all.next()).await.unwrap();
            assert_eq!(record.payload(), number.to_string().as_bytes());
            assert_eq!(record.id(), id);
            assert_eq!(record.property("k"), Some(&b"v"[..]));
            assert!(record.time_tick.unwrap() > tick);
            tick = record.time_tick.unwrap();
            assert_eq!(soon(late.next()).await.unwrap().id(), id);
        }

        let some = ConsumerOptions {
            from: From::Behind(ids[500].clone()),
            filters: vec![RecordFilter::VChannel("odd".into())],
            acknowledge: Acknowledge::Explicitly,
        };
        let mut some = client.consumer("orders", some).await.unwrap();
        for number in [501, 503] {
            let record = soon(some.next()).await.unwrap();
            assert_eq!(record.payload(), number.to_string().as_bytes());
            some.acknowledge(record.delivery).await.unwrap();
        }
        soon(producer.close()).await.unwrap();
        let counters = client.counters().await.unwrap();
        assert_eq!(
            (counters.produced, counters.failed, counters.resent),
            (1_000, 0, 0)
        );
        cluster.end().await;
    });
}

#[test]
fn what_was_acknowledged_survives_the_node_that_did() {
    run(async {
        let mut cluster = Cluster::of(3).await;
        let names = ["a", "b", "c"];
        cluster.create(&names).await;
        let victim = cluster.owner("a").await;
        let client = cluster.client();
        let mut tasks = Vec::new();
        for name in names {
            let producer = client.producer(name, once(name)).await.unwrap();
            tasks.push(spawn(async move {
                for number in 0..400_u32 {
                    let payload = number.to_be_bytes().to_vec();
                    producer.send(payload, &[]).await.unwrap();
                    if number % 20 == 0 {
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            }));
        }
        let mut consumers = Vec::new();
        for name in names {
            let mut consumer = client.consumer(name, from_all()).await.unwrap();
            consumers.push(spawn(async move {
                for number in 0..400_u32 {
                    let record = consumer.next().await.unwrap();
                    assert_eq!(record.payload(), number.to_be_bytes(), "once, in order");
                }
            }));
        }
        sleep(Duration::from_millis(100)).await;
        soon(cluster.nodes[victim].take().unwrap().kill()).await;
        for task in tasks {
            assert!(timeout(LONG, task).await.is_some(), "produced");
        }
        for consumer in consumers {
            assert!(timeout(LONG, consumer).await.is_some(), "consumed");
        }
        cluster.assigned(&names).await;
        assert_ne!(cluster.owner("a").await, victim);
        cluster.end().await;
    });
}

/// It cannot coordinate under the token it has: another leads, and does.
#[test]
fn a_leader_that_is_fenced_off_at_the_catalog_leads_no_more() {
    run(async {
        let cluster = Cluster::of(3).await;
        cluster.create(&["a"]).await;
        let fence = || {
            let mut nodes = cluster.nodes.iter().flatten();
            let token = nodes.find_map(|node| node.handle().election()?.token());
            token.map_or(0, |token| token.fence())
        };
        let before = fence();
        super::leaders::write(&cluster.store, before + 1).unwrap();
        // The write that this needs is refused to whoever leads now.
        let made = async {
            while cluster.operator.create(&["b"]).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(LONG, made).await.is_some(), "not made");
        assert!(fence() > before, "under a greater token");
        cluster.assigned(&["a", "b"]).await;
        cluster.end().await;
    });
}

#[test]
fn operators_are_told_what_cannot_be() {
    run(async {
        let cluster = Cluster::of(1).await;
        assert_eq!(cluster.operator.create(&["a", "b"]).await, Ok(2));
        assert_eq!(cluster.operator.create(&["b", "c"]).await, Ok(1));
        let refused = [
            (cluster.operator.create(&[""]).await.unwrap_err(), "TF-L"),
            (
                cluster
                    .operator
                    .relocate("x", &cluster.hosts[0])
                    .await
                    .unwrap_err(),
                "TF-L",
            ),
            (
                cluster
                    .operator
                    .relocate("a", "nobody:1")
                    .await
                    .unwrap_err(),
                "TF-L",
            ),
            (
                cluster.operator.drain("nobody:1", None).await.unwrap_err(),
                "TF-L23",
            ),
            (
                cluster.operator.undrain("nobody:1").await.unwrap_err(),
                "TF-L23",
            ),
            (
                cluster
                    .operator
                    .drain(&cluster.hosts[0], None)
                    .await
                    .unwrap_err(),
                "TF-L30",
            ),
        ];
        for (error, code) in refused {
            assert!(error.message.starts_with(code), "{error}");
            assert_eq!(error.remedy, Remedy::Final);
        }
        let only = &cluster.hosts[0];
        assert_eq!(cluster.operator.undrain(only).await, Ok(()));
        cluster.assigned(&["a", "b", "c"]).await;
        assert_eq!(cluster.operator.plan().await.unwrap(), (Vec::new(), false));
        let client = cluster.client();
        let mut map = client.watch().await.unwrap();
        let whole = soon(map.wait_for(|map| map.channels.len() == 3))
            .await
            .unwrap()
            .clone();
        assert!(
            whole
                .channels
                .values()
                .all(|placed| *placed.host == *cluster.hosts[0])
        );
        cluster.end().await;
    });
}

fn a_channel_moves(dialect: Dialect) {
    run(async move {
        let cluster = Cluster::that_speak(dialect, 3).await;
        cluster.create(&["moved"]).await;
        let client = cluster.client();
        let producer = client.producer("moved", once("p")).await.unwrap();
        let mut consumer = client.consumer("moved", from_all()).await.unwrap();
        for round in 0..3_u32 {
            let to = (cluster.owner("moved").await + 1) % 3;
            cluster
                .operator
                .relocate("moved", &cluster.hosts[to])
                .await
                .unwrap();
            for number in 0..50_u32 {
                let payload = (round * 50 + number).to_be_bytes().to_vec();
                let sent = timeout(LONG, producer.send(payload.clone(), &[])).await;
                sent.expect("in time").unwrap();
                let record = timeout(LONG, consumer.next())
                    .await
                    .expect("in time")
                    .unwrap();
                assert_eq!(record.payload(), payload);
            }
            cluster.assigned(&["moved"]).await;
            assert_eq!(cluster.owner("moved").await, to);
        }
        cluster.end().await;
    });
}

#[test]
fn a_channel_moves_while_it_is_written_to() {
    a_channel_moves(Dialect::Seed);
}

#[test]
fn a_channel_moves_while_it_is_written_to_in_the_later_dialect() {
    a_channel_moves(Dialect::V2024_08);
}

#[test]
fn a_client_whose_handles_are_gone_finishes_what_it_was_given() {
    run(async {
        let cluster = Cluster::of(1).await;
        cluster.create(&["a"]).await;
        {
            let client = cluster.client();
            let producer = client
                .producer("a", ProducerOptions::default())
                .await
                .unwrap();
            for _ in 0..100 {
                drop(producer.enqueue("x", &[]).await.unwrap());
            }
        }
        let client = cluster.client();
        let mut consumer = client.consumer("a", from_all()).await.unwrap();
        for _ in 0..100 {
            assert_eq!(soon(consumer.next()).await.unwrap().payload(), b"x");
        }
        let node = cluster.nodes[0].as_ref().unwrap().handle().clone();
        assert_eq!(super::harness::stat(&node, "records_appended").await, 100);
        cluster.end().await;
    });
}

/// Above the 64 MiB that are the default, and above every budget of a stream: one record always fits.
#[test]
fn line_18_a_record_of_many_bytes_is_taken_and_given_where_that_is_asked_for() {
    run(async {
        let cluster = Cluster::with(Dialect::Seed, 1, 256 << 20).await;
        cluster.create(&["films"]).await;
        let client = cluster.client();
        let producer = client
            .producer("films", ProducerOptions::default())
            .await
            .unwrap();
        let film = vec![7; 100 << 20];
        let sent = timeout(LONG, producer.send(film, &[])).await;
        sent.expect("in time").unwrap();
        let mut consumer = client.consumer("films", from_all()).await.unwrap();
        let record = timeout(LONG, consumer.next()).await.expect("in time");
        let record = record.unwrap();
        assert_eq!(record.payload().len(), 100 << 20);
        assert!(record.payload().iter().all(|byte| *byte == 7));
        cluster.end().await;
    });
}

#[test]
fn what_cannot_be_sent_is_refused_with_a_code() {
    run(async {
        let mut options = calling(["127.0.0.1:1"]);
        options.channels = ClientConfig {
            record_bytes_max: 1 << 20,
            request_bytes_max: 1 << 20,
            ..ClientConfig::default()
        };
        let client = ChannelClient::start(options).unwrap();
        let producer = client
            .producer("a", ProducerOptions::default())
            .await
            .unwrap();
        let empty = soon(producer.send("", &[])).await.unwrap_err();
        let huge = soon(producer.send(vec![0; 2 << 20], &[]))
            .await
            .unwrap_err();
        let ours = soon(producer.send("x", &[("_tt", "1")])).await.unwrap_err();
        for error in [empty, huge, ours] {
            assert!(error.stable_code().is_some(), "{error}");
            assert!(error.is_certain);
        }
        let options = ProducerOptions {
            timeout: Some(Duration::from_millis(50)),
            dedupe: None,
        };
        let hasty = client.producer("a", options).await.unwrap();
        let late = soon(hasty.send("x", &[])).await.unwrap_err();
        assert!(late.is_certain, "it never left: {late}");
        assert!(
            client
                .producer("", ProducerOptions::default())
                .await
                .is_err()
        );
    });
}

#[test]
fn a_node_that_leaves_gives_its_channels_up_first() {
    run(async {
        let mut cluster = Cluster::of(3).await;
        let names = ["a", "b", "c", "d", "e", "f"];
        cluster.create(&names).await;
        let leaver = cluster.owner("a").await;
        let client = cluster.client();
        let mut tasks = Vec::new();
        for name in names {
            let producer = client.producer(name, once(name)).await.unwrap();
            tasks.push(spawn(async move {
                for number in 0..200_u32 {
                    let payload = number.to_be_bytes().to_vec();
                    producer.send(payload, &[]).await.unwrap();
                    sleep(Duration::from_millis(2)).await;
                }
            }));
        }
        let leaving = cluster.nodes[leaver].take().unwrap();
        let watched = leaving.handle().clone();
        let looks = Arc::<AtomicU64>::default();
        let looked = Arc::clone(&looks);
        let watching = spawn(async move {
            // Until it is asked no more, which may be at once when the last channel is gone.
            while let Ok(stats) = watched.stats().await {
                let is = |name| stats.value(name).unwrap();
                assert_eq!(is("channels_forced"), 0, "none by force");
                if is("channels_open") > 0 {
                    assert_eq!(is("members"), 3, "it is a member until they are gone");
                    looked.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
        until("it is watched", || looks.load(Ordering::Relaxed) > 0).await;
        soon(leaving.shutdown()).await;
        soon(watching).await;
        let listed = cluster.operator.list().await.unwrap();
        let gone = &cluster.hosts[leaver];
        assert!(
            listed
                .channels
                .iter()
                .all(|channel| channel.host.as_ref() != Some(gone))
        );
        for task in tasks {
            assert!(timeout(LONG, task).await.is_some(), "produced");
        }
        cluster.end().await;
    });
}
