//! What a cart does.

use std::collections::BTreeMap;

use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_proto::google::Any;
use trefoil_proto::wire::{Decode, DecodeError, Each, Encode};

use super::wire::{AddItem, Cart as CartState, Clear, Item as WireItem, RemoveItem};

const ADD: &str = "type.googleapis.com/trefoil.cart.v1.AddItem";
const REMOVE: &str = "type.googleapis.com/trefoil.cart.v1.RemoveItem";
const CLEAR: &str = "type.googleapis.com/trefoil.cart.v1.Clear";
const CART: &str = "type.googleapis.com/trefoil.cart.v1.Cart";

/// Longest name of an article, in bytes.
const SKU_BYTES_MAX: usize = 64;
/// Most articles in one cart.
const ITEMS_MAX: usize = 10_000;

/// Makes carts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carts;

/// One cart.
#[derive(Debug, Default)]
pub struct Cart {
    items: BTreeMap<String, u32>,
    version: u64,
}

impl ActorKind for Carts {
    type Actor = Cart;

    fn load(&self, _: u64, snapshot: Option<&[u8]>) -> Result<Cart, Failed> {
        let Some(bytes) = snapshot else {
            return Ok(Cart::default());
        };
        let state = CartState::parse(bytes).map_err(|_| Failed)?;
        let items = state
            .items
            .iter()
            .map(|item| item.map(|item: WireItem<'_>| (item.sku.to_owned(), item.quantity)))
            .collect::<Result<_, DecodeError>>()
            .map_err(|_| Failed)?;
        Ok(Cart {
            items,
            version: state.version,
        })
    }
}

impl Actor for Cart {
    fn apply(&mut self, message: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        match message.type_url.rsplit('/').next() {
            Some("trefoil.cart.v1.AddItem") => {
                let item = AddItem::parse(message.value).map_err(malformed)?;
                self.add(item.sku, item.quantity)?;
            }
            Some("trefoil.cart.v1.RemoveItem") => {
                let item = RemoveItem::parse(message.value).map_err(malformed)?;
                self.remove(item.sku, item.quantity)?;
            }
            Some("trefoil.cart.v1.Clear") => {
                Clear::parse(message.value).map_err(malformed)?;
                self.items.clear();
            }
            _ => return Err(format!("a cart does not understand {:?}", message.type_url).into()),
        }
        self.version += 1;
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        let items = self.items.iter().map(|(sku, quantity)| WireItem {
            sku,
            quantity: *quantity,
        });
        let state = CartState {
            items: Each(items),
            version: self.version,
        };
        let at = out.len();
        out.resize(at + state.encoded_len(), 0);
        if state.encode_to_slice(&mut out[at..]).is_err() {
            // A cart beyond 2 GiB: its bounds forbid it.
            out.truncate(at);
        }
    }

    fn type_url(&self) -> &str {
        CART
    }
}

impl Cart {
    fn add(&mut self, sku: &str, quantity: u32) -> Result<(), Rejected> {
        check(sku, quantity)?;
        if !self.items.contains_key(sku) && self.items.len() >= ITEMS_MAX {
            return Err("the cart is full: 10,000 articles".into());
        }
        let held = self.items.get(sku).copied().unwrap_or(0);
        let sum = held
            .checked_add(quantity)
            .ok_or("no cart holds more than 4,294,967,295 of an article")?;
        self.items.insert(sku.to_owned(), sum);
        Ok(())
    }

    fn remove(&mut self, sku: &str, quantity: u32) -> Result<(), Rejected> {
        check(sku, quantity)?;
        let held = self.items.get(sku).copied().unwrap_or(0);
        match held.checked_sub(quantity) {
            None => return Err(format!("the cart holds {held} of {sku:?}, not {quantity}").into()),
            Some(0) => self.items.remove(sku),
            Some(left) => self.items.insert(sku.to_owned(), left),
        };
        Ok(())
    }
}

fn check(sku: &str, quantity: u32) -> Result<(), Rejected> {
    if sku.is_empty() || sku.len() > SKU_BYTES_MAX {
        return Err("the name of an article has 1 to 64 bytes".into());
    }
    if quantity == 0 {
        return Err("a quantity is at least 1".into());
    }
    Ok(())
}

fn malformed(error: DecodeError) -> Rejected {
    format!("the message cannot be decoded: {error}").into()
}

/// A message that owns its bytes.
#[derive(Clone, Debug)]
pub struct Item {
    type_url: &'static str,
    value: Vec<u8>,
}

impl Item {
    fn new(type_url: &'static str, message: &impl Encode) -> Self {
        let mut value = vec![0; message.encoded_len()];
        let written = message.encode_to_slice(&mut value);
        debug_assert!(written.is_ok(), "the length was measured one line above");
        Self { type_url, value }
    }

    /// As Apply takes it.
    pub fn any(&self) -> Any<'_> {
        Any {
            type_url: self.type_url,
            value: &self.value,
        }
    }
}

/// Adds articles.
pub fn add_item(sku: &str, quantity: u32) -> Item {
    Item::new(ADD, &AddItem { sku, quantity })
}

/// Takes articles out.
pub fn remove_item(sku: &str, quantity: u32) -> Item {
    Item::new(REMOVE, &RemoveItem { sku, quantity })
}

/// Empties a cart.
pub fn clear() -> Item {
    Item::new(CLEAR, &Clear {})
}

/// Articles and quantities of a cart's state, and its version; `None` if it is no cart.
pub fn items(grain: Option<Any<'_>>) -> Option<(BTreeMap<String, u32>, u64)> {
    let grain = grain.filter(|grain| grain.type_url == CART)?;
    let cart = Carts.load(0, Some(grain.value)).ok()?;
    Some((cart.items, cart.version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_core::ring::actor::{Job, Outcome, Output, Stage};
    use trefoil_proto::control_plane::{ApplyRequest, ApplyResult};

    fn run(
        stage: &mut Stage<Carts>,
        messages: &[Item],
    ) -> (Vec<Option<String>>, BTreeMap<String, u32>) {
        let messages: Vec<Any<'_>> = messages.iter().map(Item::any).collect();
        let request = ApplyRequest {
            id: 1,
            messages: messages.as_slice(),
        };
        let mut bytes = vec![0; request.encoded_len()];
        request.encode_to_slice(&mut bytes).unwrap();
        let mut out = Output::default();
        let Outcome::Applied { reply, .. } =
            stage.perform(1, Job::Apply { request: &bytes }, &mut out)
        else {
            panic!("the job failed")
        };
        let result = ApplyResult::parse(reply).unwrap();
        let errors = result
            .mutations
            .iter()
            .map(|m| m.unwrap().error.map(str::to_owned))
            .collect();
        (errors, items(result.state).unwrap().0)
    }

    fn stage() -> Stage<Carts> {
        let mut stage = Stage::new(Carts, 0);
        stage.perform(1, Job::Load { snapshot: None }, &mut Output::default());
        stage
    }

    #[test]
    fn a_cart_adds_removes_and_clears() {
        let mut stage = stage();
        let (errors, cart) = run(
            &mut stage,
            &[
                add_item("pear", 3),
                add_item("fig", 1),
                remove_item("pear", 1),
            ],
        );
        assert_eq!(errors, [None, None, None]);
        assert_eq!(cart, [("fig".to_owned(), 1), ("pear".to_owned(), 2)].into());
        let (_, cart) = run(&mut stage, &[remove_item("fig", 1)]);
        assert_eq!(cart.len(), 1);
        let (_, cart) = run(&mut stage, &[clear()]);
        assert!(cart.is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason_and_changes_nothing() {
        let mut stage = stage();
        let long = "x".repeat(65);
        let wrong = [
            add_item("", 1),
            add_item(&long, 1),
            add_item("fig", 0),
            remove_item("fig", 1),
            Item {
                type_url: "type.googleapis.com/other.Message",
                value: vec![],
            },
            Item {
                type_url: ADD,
                value: vec![0xff],
            },
        ];
        let (errors, cart) = run(&mut stage, &wrong);
        assert!(
            errors
                .iter()
                .all(|error| error.as_ref().is_some_and(|text| !text.is_empty())),
            "{errors:?}"
        );
        assert!(cart.is_empty());
        run(&mut stage, &[add_item("fig", u32::MAX)]);
        let (errors, cart) = run(&mut stage, &[add_item("fig", 1)]);
        assert!(errors[0].is_some());
        assert_eq!(cart["fig"], u32::MAX);
    }

    #[test]
    fn a_cart_comes_back_from_its_snapshot() {
        let mut stage = stage();
        run(&mut stage, &[add_item("pear", 3), add_item("fig", 1)]);
        let mut out = Output::default();
        let Outcome::Snapshot { bytes } = stage.perform(1, Job::Snapshot, &mut out) else {
            panic!()
        };
        let cart = Carts.load(1, Some(bytes)).unwrap();
        assert_eq!((cart.items.len(), cart.version), (2, 2));
        assert!(Carts.load(1, Some(&[0xff])).is_err());
    }
}
