//! What a stream of records is opened with: a request in the metadata, since the streams carry none.
//!
//! | key | value |
//! |---|---|
//! | `create-producer` | base64, standard alphabet with padding, of a `CreateProducerRequest` |
//! | `create-consumer` | the same of a `CreateConsumerRequest` |
//! | `serverid` | decimal: which start of which node is meant; absent or not a number: any |
//! | `cluster` | which cluster is meant; absent or empty: any |

use core::fmt::Write as _;

use trefoil_proto::google::Empty;
use trefoil_proto::streaming::{
    CreateConsumerRequest, CreateProducerRequest, DeliverFilter, DeliverFilterFilter,
    DeliverFilterTimeTickGT, DeliverFilterTimeTickGTE, DeliverFilterVChannel, DeliverPolicy,
    DeliverPolicyPolicy, MessageID, PChannelInfo,
};
use trefoil_proto::{Decode, Each, Encode, wire};

use super::base64;
use super::dialect::{Dialect, ErrorCode};
use super::failure::Failure;
use crate::codes;
use crate::header::{Header, HeaderWriter};
use crate::machine::Full;

/// Key of the request that opens a producer.
pub const CREATE_PRODUCER: &str = "create-producer";
/// Key of the request that opens a consumer.
pub const CREATE_CONSUMER: &str = "create-consumer";
/// Key of the node that is meant.
pub const SERVER_ID: &str = "serverid";
/// Key of the cluster that is meant.
pub const CLUSTER: &str = "cluster";

/// Bytes of the largest request that is decoded, and the scratch that takes any of them.
pub const REQUEST_BYTES_MAX: usize = 8 << 10;

/// Bytes of the longest name of a channel.
pub const CHANNEL_NAME_BYTES_MAX: usize = 256;

/// Which channel is opened, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// The channel's name: 1 to 256 bytes.
    pub channel: &'a str,
    /// The term at which it is believed to be there; above zero.
    pub term: i64,
    /// The number of the node that is meant.
    pub server_id: Option<i64>,
    /// The cluster that is meant.
    pub cluster: Option<&'a str>,
}

/// From where a consumer wants records. Ids are bytes here; in `V2024_08` they are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy<'a> {
    /// From the first one kept.
    All,
    /// Only those written from now on.
    Latest,
    /// From the one of this id on.
    StartFrom(&'a [u8]),
    /// From the one behind this id.
    StartAfter(&'a [u8]),
}

/// Which records a consumer wants; all filters must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter<'a> {
    /// Those above a time tick.
    TimeTickGt(u64),
    /// Those at or above a time tick.
    TimeTickGte(u64),
    /// Those of one virtual channel.
    VChannel(&'a str),
}

/// The filters of a request that was received: none of them is of no kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Filters<'a>(wire::Repeated<'a, DeliverFilter<'a>>);

/// A consumer that is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenConsumer<'a, F = Filters<'a>> {
    /// Which channel.
    pub open: Open<'a>,
    /// From where.
    pub policy: Policy<'a>,
    /// Which of its records.
    pub filters: F,
}

const fn refused(cause: &'static str) -> Failure<'static> {
    Failure::new(ErrorCode::InvalidArgument, cause)
}

/// Whether a channel can have this name.
#[must_use]
pub const fn is_channel_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= CHANNEL_NAME_BYTES_MAX
}

/// The name and the term of a channel, if they can be.
///
/// # Errors
/// `InvalidArgument` for a name that is empty or too long, and a term that is not above zero.
pub fn channel(info: Option<PChannelInfo<'_>>) -> Result<(&str, i64), Failure<'static>> {
    let info = info.unwrap_or_default();
    if is_channel_name(info.name) && info.term > 0 {
        Ok((info.name, info.term))
    } else {
        Err(refused(codes::NO_CHANNEL))
    }
}

impl<'a> Open<'a> {
    /// A channel at a term, on whichever node of whichever cluster.
    #[must_use]
    pub const fn new(channel: &'a str, term: i64) -> Self {
        Self {
            channel,
            term,
            server_id: None,
            cluster: None,
        }
    }

    /// Reads what a producer is opened with. The request is decoded into `scratch`; [`REQUEST_BYTES_MAX`]
    /// of it take whatever is not refused.
    ///
    /// # Errors
    /// `InvalidArgument`, with a cause that says what is wrong.
    pub fn producer(header: Header<'a>, scratch: &'a mut [u8]) -> Result<Self, Failure<'static>> {
        let request = request(header, CREATE_PRODUCER, scratch)?;
        let request =
            CreateProducerRequest::parse(request).map_err(|_| refused(codes::NOT_OPENED))?;
        Self::of(header, request.pchannel)
    }

    /// Adds what opens a producer to `header`. The request and its base64 are made in `scratch`.
    ///
    /// # Errors
    /// [`Full`] if either is too small.
    pub fn write_producer(
        &self,
        header: &mut HeaderWriter<'_>,
        scratch: &mut [u8],
    ) -> Result<(), Full> {
        let request = CreateProducerRequest {
            pchannel: Some(self.info()),
        };
        self.write(CREATE_PRODUCER, &request, header, scratch)
    }

    fn of(header: Header<'a>, info: Option<PChannelInfo<'a>>) -> Result<Self, Failure<'static>> {
        let (channel, term) = channel(info)?;
        Ok(Self {
            channel,
            term,
            server_id: header.text(SERVER_ID).and_then(|text| text.parse().ok()),
            cluster: header.text(CLUSTER).filter(|name| !name.is_empty()),
        })
    }

    const fn info(&self) -> PChannelInfo<'a> {
        PChannelInfo {
            name: self.channel,
            term: self.term,
        }
    }

    fn write(
        &self,
        key: &str,
        request: &impl Encode,
        header: &mut HeaderWriter<'_>,
        scratch: &mut [u8],
    ) -> Result<(), Full> {
        let len = request.encoded_len();
        let (bytes, text) = scratch.split_at_mut_checked(len).ok_or(Full)?;
        request.encode_to_slice(bytes)?;
        header.push(key, base64::encode(bytes, text)?)?;
        if let Some(server_id) = self.server_id {
            let mut digits = Digits::default();
            // An i64 has at most 20 characters.
            let _ = write!(digits, "{server_id}");
            header.push(SERVER_ID, digits.text())?;
        }
        if let Some(cluster) = self.cluster {
            header.push(CLUSTER, cluster.as_bytes())?;
        }
        Ok(())
    }
}

impl<'a> OpenConsumer<'a> {
    /// Reads what a consumer is opened with, as [`Open::producer`] does.
    ///
    /// # Errors
    /// `InvalidArgument`, with a cause that says what is wrong.
    pub fn consumer(
        dialect: Dialect,
        header: Header<'a>,
        scratch: &'a mut [u8],
    ) -> Result<Self, Failure<'static>> {
        let request = request(header, CREATE_CONSUMER, scratch)?;
        let request =
            CreateConsumerRequest::parse(request).map_err(|_| refused(codes::NOT_OPENED))?;
        let open = Open::of(header, request.pchannel)?;
        let policy = request.deliver_policy.and_then(|policy| policy.policy);
        let policy = Policy::of(dialect, policy.ok_or(refused(codes::NO_POLICY))?)?;
        let filters = request.deliver_filters;
        for filter in filters {
            let filter = filter.map_err(|_| refused(codes::NOT_OPENED))?;
            if filter.filter.is_none() {
                return Err(refused(codes::NO_FILTER));
            }
        }
        Ok(Self {
            open,
            policy,
            filters: Filters(filters),
        })
    }
}

impl<'f, F> OpenConsumer<'_, F>
where
    F: Clone + DoubleEndedIterator<Item = Filter<'f>>,
{
    /// Bytes of the request, before base64.
    #[must_use]
    pub fn request_len(&self) -> usize {
        self.request().encoded_len()
    }

    /// Adds what opens a consumer to `header`. The request and its base64 are made in `scratch`.
    ///
    /// # Errors
    /// [`Full`] if either is too small.
    pub fn write_consumer(
        &self,
        header: &mut HeaderWriter<'_>,
        scratch: &mut [u8],
    ) -> Result<(), Full> {
        self.open
            .write(CREATE_CONSUMER, &self.request(), header, scratch)
    }

    /// Text and bytes have one encoding, so the ids of both dialects are written alike.
    fn request(&self) -> CreateConsumerRequest<'_, impl wire::List<DeliverFilter<'static>>> {
        CreateConsumerRequest {
            pchannel: Some(self.open.info()),
            deliver_policy: Some(DeliverPolicy {
                policy: Some(self.policy.on_wire()),
            }),
            deliver_filters: Each(self.filters.clone().map(Filter::on_wire)),
        }
    }
}

impl<'a> Policy<'a> {
    fn of(dialect: Dialect, policy: DeliverPolicyPolicy<'a>) -> Result<Self, Failure<'static>> {
        let id = |id: MessageID<'a>| match dialect {
            Dialect::V2024_08 if core::str::from_utf8(id.id).is_err() => {
                Err(refused(codes::NO_POLICY))
            }
            Dialect::Seed | Dialect::V2024_08 => Ok(id.id),
        };
        Ok(match policy {
            DeliverPolicyPolicy::All(_) => Self::All,
            DeliverPolicyPolicy::Latest(_) => Self::Latest,
            DeliverPolicyPolicy::StartFrom(from) => Self::StartFrom(id(from)?),
            DeliverPolicyPolicy::StartAfter(after) => Self::StartAfter(id(after)?),
        })
    }

    const fn on_wire(self) -> DeliverPolicyPolicy<'a> {
        match self {
            Self::All => DeliverPolicyPolicy::All(Empty {}),
            Self::Latest => DeliverPolicyPolicy::Latest(Empty {}),
            Self::StartFrom(id) => DeliverPolicyPolicy::StartFrom(MessageID { id }),
            Self::StartAfter(id) => DeliverPolicyPolicy::StartAfter(MessageID { id }),
        }
    }
}

impl<'a> Filter<'a> {
    const fn of(filter: DeliverFilterFilter<'a>) -> Self {
        match filter {
            DeliverFilterFilter::TimeTickGt(above) => Self::TimeTickGt(above.time_tick),
            DeliverFilterFilter::TimeTickGte(from) => Self::TimeTickGte(from.time_tick),
            DeliverFilterFilter::Vchannel(channel) => Self::VChannel(channel.vchannel),
        }
    }

    const fn on_wire(self) -> DeliverFilter<'a> {
        let filter = match self {
            Self::TimeTickGt(time_tick) => {
                DeliverFilterFilter::TimeTickGt(DeliverFilterTimeTickGT { time_tick })
            }
            Self::TimeTickGte(time_tick) => {
                DeliverFilterFilter::TimeTickGte(DeliverFilterTimeTickGTE { time_tick })
            }
            Self::VChannel(vchannel) => {
                DeliverFilterFilter::Vchannel(DeliverFilterVChannel { vchannel })
            }
        };
        DeliverFilter {
            filter: Some(filter),
        }
    }
}

impl<'a> Filters<'a> {
    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Filter<'a>> + Clone + use<'a> {
        // All were looked at when the request was read.
        let filters = self.0.iter().filter_map(Result::ok);
        filters.filter_map(|filter| filter.filter.map(Filter::of))
    }
}

/// The request under `key`, decoded into `scratch`.
fn request<'a>(
    header: Header<'_>,
    key: &str,
    scratch: &'a mut [u8],
) -> Result<&'a [u8], Failure<'static>> {
    let text = header.value(key).ok_or(refused(codes::NOT_OPENED))?;
    let most = scratch.len().min(REQUEST_BYTES_MAX);
    base64::decode(text, &mut scratch[..most]).map_err(|_| refused(codes::NOT_OPENED))
}

/// Room for the decimal digits of a number.
#[derive(Default)]
struct Digits {
    bytes: [u8; 24],
    len: usize,
}

impl Digits {
    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl core::fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len());
        room.ok_or(core::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
