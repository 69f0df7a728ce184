//! What clients do: each has producers and consumers on some of the channels, and appends now and then.

use std::time::Duration;

use super::invariants::delivery::Delivery;
use super::invariants::records::Records;
use super::oracle::Worlds;
use super::order::Order;
use super::plan::Plan;
use super::subject::name_of;
use crate::dice::Dice;

/// A producer of a client.
#[derive(Clone, Copy, Debug)]
struct Producer {
    client: usize,
    key: u64,
}

/// All clients of a run.
#[derive(Debug)]
pub struct Clients {
    producers: Vec<Producer>,
    numbers: u64,
    think: Duration,
    dice: Dice,
}

/// Longest padding of a record.
const PADDING_MAX: u64 = 60;

impl Clients {
    /// Clients that have done nothing.
    #[must_use]
    pub fn new(plan: &Plan, seed: u64) -> Self {
        Self {
            producers: Vec::new(),
            numbers: 0,
            think: plan.think,
            dice: Dice::new(seed, "clients"),
        }
    }

    /// Opens the producers and consumers of a client.
    pub fn open(
        &mut self,
        client: usize,
        plan: &Plan,
        (records, delivery): (&mut Records, &mut Delivery),
        world: &mut Worlds,
    ) {
        self.send(client, Order::Watch, world);
        for channel in 0..plan.channels {
            let (producer, consumer) = (2 * channel as u64, 2 * channel as u64 + 1);
            let name = name_of(channel);
            if self.dice.chance(700_000) {
                let named = self.dice.coin();
                let timeout = self.dice.chance(300_000);
                let timeout = timeout.then(|| self.dice.tail(Duration::from_secs(1)));
                let order = Order::OpenProducer {
                    key: producer,
                    channel: name.clone(),
                    name: named.then(|| format!("{client}/{producer}")),
                    timeout,
                };
                records.open((client, producer), channel, named);
                self.producers.push(Producer {
                    client,
                    key: producer,
                });
                self.send(client, order, world);
            }
            if self.dice.chance(600_000) {
                delivery.open((client, consumer), channel);
                self.send(client, Order::OpenConsumer(consumer, name), world);
            }
        }
    }

    fn send(&mut self, client: usize, order: Order, world: &mut Worlds) {
        let wait = self
            .dice
            .between(Duration::ZERO, Duration::from_millis(100));
        world.command(client, wait, order);
    }

    /// A client appends a few records. Returns when it does so again.
    pub fn produce(
        &mut self,
        client: usize,
        records: &mut Records,
        world: &mut Worlds,
    ) -> Duration {
        let own = self
            .producers
            .iter()
            .filter(|producer| producer.client == client);
        let own: Vec<Producer> = own.copied().collect();
        if own.is_empty() {
            return Duration::from_secs(1);
        }
        let producer = own[self.dice.index(own.len())];
        for _ in 0..1 + self.dice.below(4) {
            self.numbers += 1;
            let padding = self.dice.below(PADDING_MAX) as usize;
            let (key, number) = (producer.key, self.numbers);
            let payload = format!("{client}/{key}/{number}/{:padding$}", "").into_bytes();
            records.give((client, producer.key), payload.clone());
            world.command(
                client,
                Duration::ZERO,
                Order::Produce(producer.key, payload),
            );
        }
        self.dice.tail(self.think)
    }
}
