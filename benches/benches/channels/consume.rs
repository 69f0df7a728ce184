//! Reading a log of a gigabyte over the loopback: how fast it goes, and what a consumer that does not read on costs
//! its node.

use std::time::Duration;

use trefoil_benches::is_test;
use trefoil_runtime_tokio::channels::{Acknowledge, Consumer, ConsumerOptions, From};
use trefoil_runtime_tokio::{ChannelClient, ClientOptions, Platform, Tokio, task};

use crate::produce::{CHANNEL, Contender as _, Kept, Load, Trefoil};

/// Bytes of a record.
const SIZES: [usize; 2] = [1 << 10, 64 << 10];

/// Bytes of the log.
const LOG_BYTES: usize = 1 << 30;

/// How long those that do not read on are looked at.
const STANDS: Duration = Duration::from_secs(5);

pub(crate) fn all() {
    for bytes in SIZES {
        let records = if is_test() { 64 } else { LOG_BYTES / bytes };
        let mut node = Trefoil::start(Kept::Synced);
        node.run(Load {
            producers: 1,
            in_flight: 64,
            bytes,
            records_max: records,
            time_max: Duration::MAX,
        });
        println!("{records} records of {bytes} B");
        Tokio::run(read(&node, records)).expect("a runtime");
    }
}

async fn consumer(client: &ChannelClient) -> Consumer {
    let options = ConsumerOptions {
        from: From::All,
        acknowledge: Acknowledge::Explicitly,
        ..ConsumerOptions::default()
    };
    client.consumer(CHANNEL, options).await.expect("a consumer")
}

async fn read(node: &Trefoil, records: usize) {
    let client = ChannelClient::start(ClientOptions::to([node.host()])).expect("a client");
    // At once, while the system has in memory what was written.
    let (began, cpu) = (std::time::Instant::now(), node.server_cpu());
    let mut reader = consumer(&client).await;
    let mut bytes = 0;
    for _ in 0..records {
        let record = reader.next().await.expect("a record");
        bytes += record.payload().len();
        let told = reader.acknowledge(record.delivery).await;
        told.expect("a client");
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "  one that reads: {:.0} records and {:.0} MB a second, CPU of the node {:.2} us a record",
        records as f64 / took,
        bytes as f64 / took / 1e6,
        (node.server_cpu() - cpu) * 1e6 / records as f64
    );
    drop(reader);

    let before = node.resident_mib();
    let slow = [(); 8].map(|()| consumer(&client));
    let mut stalled = Vec::new();
    for consumer in slow {
        let mut consumer = consumer.await;
        // It has begun, and reads no more.
        consumer.next().await.expect("a record");
        stalled.push(consumer);
        if stalled.len() == 1 {
            tell(node, "one consumer that does not read on", before).await;
        }
    }
    tell(node, "eight of them", before).await;
}

async fn tell(node: &Trefoil, what: &str, before: f64) {
    if !is_test() {
        task::sleep::<Tokio>(STANDS).await;
    }
    let resident = node.resident_mib();
    let grown = resident - before;
    println!("  {what}: the node has {resident:.1} MiB, {grown:.1} MiB more");
}
