//! Other rules for the same question, restated from what is published of them: by number of channels alone,
//! every node alike.

/// Where each channel is.
pub(crate) type Places = Vec<Option<u32>>;

fn by_node(places: &Places, nodes: u32) -> Vec<Vec<usize>> {
    let mut held = vec![Vec::new(); nodes as usize];
    for (channel, node) in places.iter().enumerate() {
        if let Some(node) = node {
            held[*node as usize].push(channel);
        }
    }
    held
}

/// Takes from each node what it has above its quota, and says what has no node then.
fn shorten(
    places: &mut Places,
    held: &mut [Vec<usize>],
    quota: impl Fn(usize, usize) -> usize,
) -> Vec<usize> {
    for (node, own) in held.iter_mut().enumerate() {
        for channel in own.split_off(quota(node, own.len()).min(own.len())) {
            places[channel] = None;
        }
    }
    (0..places.len())
        .filter(|channel| places[*channel].is_none())
        .collect()
}

/// Milvus' first policy, `pchannel_count_fair`: a node keeps the average, and one more while there is a
/// remainder; then those below the average get up to it, and those at it one of the remainder.
pub(crate) fn count_fair(places: &mut Places, nodes: u32) {
    let average = places.len() / nodes as usize;
    let mut remainder = places.len() % nodes as usize;
    let mut held = by_node(places, nodes);
    let mut quotas = Vec::new();
    for own in &held {
        let more = usize::from(own.len() > average && remainder > 0);
        remainder -= more;
        quotas.push(average + more);
    }
    let mut homeless = shorten(places, &mut held, |node, _| quotas[node]).into_iter();
    for (node, own) in held.iter().enumerate() {
        let wanted = if own.len() < average {
            average - own.len()
        } else {
            let more = usize::from(own.len() == average && remainder > 0);
            remainder -= more;
            more
        };
        for channel in homeless.by_ref().take(wanted) {
            places[channel] = Some(node as u32);
        }
    }
}

/// Kafka's sticky assignor where all members may have everything (KIP-54, `constrainedAssign`): so many
/// members keep the quota rounded up, the others the quota rounded down; what is left goes round.
pub(crate) fn sticky(places: &mut Places, nodes: u32) {
    let (low, over) = (places.len() / nodes as usize, places.len() % nodes as usize);
    let high = low + usize::from(over > 0);
    let mut held = by_node(places, nodes);
    let mut full = 0;
    let mut quotas = Vec::new();
    for own in &held {
        let is_full = own.len() >= high && high > low && full < over;
        full += usize::from(is_full);
        quotas.push(if is_full { high } else { low });
    }
    let homeless = shorten(places, &mut held, |node, _| quotas[node]);
    let mut counts: Vec<usize> = held.iter().map(Vec::len).collect();
    let mut turn = 0;
    for channel in homeless {
        let quota = if counts.iter().any(|count| *count < low) {
            low
        } else {
            high
        };
        while counts[turn] >= quota {
            turn = (turn + 1) % counts.len();
        }
        counts[turn] += 1;
        places[channel] = Some(turn as u32);
        turn = (turn + 1) % counts.len();
    }
}
