//! What of a peer's credit is given back, and when.

use trefoil_core::id::LinkId;

use super::*;

/// A transport that counts the credit it is given.
struct Counted<'a> {
    inner: &'a mut Memory,
    credit: u32,
}

impl Transport for Counted<'_> {
    type Buf = Vec<u8>;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Arrival<Vec<u8>>> {
        Poll::Pending
    }

    fn dial(&mut self, link: LinkId, address: &str, class: Class) {
        self.inner.dial(link, address, class);
    }

    fn hang_up(&mut self, link: LinkId) {
        self.inner.hang_up(link);
    }

    fn bind(&mut self, _: CallId, _: StreamId, _: Header<'_>) {}

    fn refuse(&mut self, _: CallId, status: Status<'_>) {
        panic!("{status:?}");
    }

    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    ) {
        self.inner.open(stream, link, method, header, timeout);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        self.inner.frame(stream, len)
    }

    fn credit(&mut self, _: StreamId, bytes: u32) {
        self.credit += bytes;
    }

    fn half_close(&mut self, stream: StreamId) {
        self.inner.half_close(stream);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.inner.end(stream, status);
    }

    fn flush(&mut self) {}
}

/// A byte of credit is given back once, whichever of what was held is released during which frame.
#[test]
fn who_holds_one_frame_and_releases_another_is_credited_for_one() {
    let mut world = World::pair();
    let (engine, inner) = (&mut world.engines[1], &mut world.sides[1]);
    let mut side = Counted { inner, credit: 0 };
    let accepted = Arrival::Accepted {
        call: CallId(1),
        method: SILENT,
        header: Vec::new(),
        timeout: None,
        caller: Caller {
            loopback: true,
            names: None,
        },
    };
    engine.arrive(
        world.now,
        &accepted,
        &mut side,
        &mut NoStore,
        &mut |_: StreamId| {},
    );
    let stream = engine.machine().heard[0].0;
    let mut given = Vec::new();
    // Held, released of an earlier one, and so what each of these frames of ten bytes is to give back.
    for (held, released) in [(10, 0), (10, 10), (4, 0), (10, 7), (0, 17), (10, 0)] {
        let toy = engine.machine_mut();
        (toy.held, toy.released) = (held, released);
        let frame = Arrival::Frame {
            stream,
            frame: vec![0; 10],
        };
        engine.arrive(
            world.now,
            &frame,
            &mut side,
            &mut NoStore,
            &mut |_: StreamId| {},
        );
        given.push(std::mem::take(&mut side.credit));
    }
    assert_eq!(given, [0, 10, 6, 7, 27, 0]);
}
