// A client of the channels on Node.js's gRPC, which shares no code with Trefoil nor with the other foreign client: it
// discovers, produces, consumes, assigns and closes.
//
// Usage: channels.js HOST:PORT[,HOST:PORT...]
// The dialect is in FOREIGN_DIALECT, the program in FOREIGN_TREFOIL.
"use strict";

const { execFileSync } = require("node:child_process");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const hosts = process.argv[2].split(",");
const dialect = process.env.FOREIGN_DIALECT || "seed";
const schemas = path.resolve(__dirname, "../../../proto/proto");
const PATIENCE_MS = 30_000;

const loaded = loader.loadSync(["streaming.proto", "google/rpc/status.proto"], {
  // What is found first counts: the later dialect has a schema of the same name.
  includeDirs: dialect === "v2024-08" ? [path.join(schemas, "v2024_08"), schemas] : [schemas],
  keepCase: true,
  // Versions exceed what a floating point number holds.
  longs: String,
  enums: String,
  oneofs: true,
  // What is empty is there all the same.
  defaults: true,
});
const { streaming } = grpc.loadPackageDefinition(loaded).milvus.proto;
const message = (name) => loaded[`milvus.proto.streaming.${name}`];

function check(holds, what) {
  if (!holds) {
    throw new Error(`FAILED: ${what}`);
  }
  console.log(`ok: ${what}`);
}

function same(got, wanted, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  check(a === b, a === b ? what : `${what}: ${a}, not ${b}`);
}

// A stream in both directions, whose answers are awaited one by one.
class Stream {
  constructor(call) {
    this.call = call;
    this.said = [];
    this.waiting = [];
    this.status = new Promise((resolve) => call.on("status", resolve));
    call.on("data", (said) => this.tell({ said }));
    call.on("error", (error) => this.tell({ error }));
    call.on("end", () => this.tell({ ended: true }));
  }

  tell(news) {
    const waits = this.waiting.shift();
    waits ? waits(news) : this.said.push(news);
  }

  async next() {
    const news = this.said.shift() ?? (await new Promise((resolve) => this.waiting.push(resolve)));
    if (news.error) {
      throw news.error;
    }
    return news.said;
  }

  // Says that no more will come; what comes until the peer ends the stream well.
  async close() {
    this.call.write({ close: {} });
    this.call.end();
    const rest = [];
    for (let said = await this.next(); said; said = await this.next()) {
      rest.push(said);
    }
    const status = await this.status;
    same([status.code, rest.at(-1).response], [grpc.status.OK, "close"], "a stream closes, and ends well");
    return rest.slice(0, -1);
  }
}

const deadline = () => ({ deadline: Date.now() + 4 * PATIENCE_MS });
const client = (service, host) => new streaming[service](host, grpc.credentials.createInsecure());

function metadataOf(values) {
  const metadata = new grpc.Metadata();
  Object.entries(values).forEach(([name, value]) => metadata.set(name, value));
  return metadata;
}

// The answer to one request.
function ask(service, host, method, request, shown = {}) {
  return new Promise((resolve, reject) => {
    const done = (error, said) => (error ? reject(error) : resolve(said));
    client(service, host)[method](request, metadataOf(shown), deadline(), done);
  });
}

function opened(method, host, key, type, request, more = {}) {
  const metadata = metadataOf(more);
  if (request) {
    metadata.set(key, message(type).serialize(request).toString("base64"));
  }
  return new Stream(client("StreamingNodeHandlerService", host)[method](metadata, deadline()));
}

const producer = (host, request, more) => opened("Produce", host, "create-producer", "CreateProducerRequest", request, more);
const consumer = (host, request, more) => opened("Consume", host, "create-consumer", "CreateConsumerRequest", request, more);

// What is said instead of an answer: gRPC's code, the code of the protocol, the cause.
async function failure(answer) {
  const error = await answer.then(
    () => check(false, "it is refused"),
    (error) => error,
  );
  const [details] = error.metadata.get("grpc-status-details-bin");
  const status = loaded["google.rpc.Status"].deserialize(details);
  const said = message("StreamingError").deserialize(status.details[0].value);
  return [error.code, said.code.replace("STREAMING_CODE_", ""), said.cause.slice(0, 6)];
}

const above = (a, b) => BigInt(a.global) > BigInt(b.global) || (a.global === b.global && BigInt(a.local) > BigInt(b.local));

// Whoever coordinates, and its first push.
async function leader() {
  for (const host of hosts) {
    const watch = new Stream(client("StreamingCoordAssignmentService", host).AssignmentDiscover(deadline()));
    const first = await watch.next().catch(() => null);
    if (first) {
      return { host, watch, first: first.full_assignment };
    }
  }
  throw new Error("FAILED: nobody coordinates");
}

async function main() {
  const { host: coordinator, watch, first } = await leader();
  same(first.assignments, [], "the first push comes at once, and is empty");
  const made = ["channels", "create", "orders", "--at", hosts.join(",")];
  execFileSync(process.env.FOREIGN_TREFOIL, made, { timeout: PATIENCE_MS });
  let last = first;
  while (last.assignments.length === 0) {
    const { full_assignment: next } = await watch.next();
    check(above(next.version, last.version), "versions grow");
    last = next;
  }
  const [{ node, channels }] = last.assignments;
  same(channels, [{ name: "orders", term: "2" }], "a channel that is made is pushed");
  const pchannel = channels[0];
  const serverid = { serverid: node.server_id };

  // Sent without waiting; what comes back is paired by request id alone.
  const count = 200;
  const stream = producer(node.address, { pchannel }, serverid);
  same((await stream.next()).response, "create", "a producer is open");
  const properties = { _v: "1", _t: "2", _vc: "v1" };
  for (let number = 1; number <= count; number += 1) {
    const request_id = String(number);
    stream.call.write({ produce: { request_id, message: { payload: Buffer.from(`record ${number}`), properties } } });
  }
  const answers = new Map();
  while (answers.size < count) {
    const { produce } = await stream.next();
    same([produce.response, answers.has(produce.request_id)], ["result", false], `request ${produce.request_id}`);
    answers.set(produce.request_id, produce.result.id);
  }
  stream.call.write({ produce: { request_id: "0", message: { payload: Buffer.from("x"), properties: { _t: "2" } } } });
  const { produce: bad } = await stream.next();
  same([bad.request_id, bad.error.code], ["0", "STREAMING_CODE_INNER"], "a record without a version is refused alone");
  same(await stream.close(), [], "nothing was under way");

  // All of them, and those behind one of them.
  for (const [policy, from] of [
    [{ all: {} }, 1],
    [{ start_from: answers.get("100") }, 100],
    [{ start_after: answers.get("100") }, 101],
  ]) {
    const request = { pchannel, deliver_policy: policy, deliver_filters: [{ vchannel: { vchannel: "v1" } }] };
    const reader = consumer(node.address, request, serverid);
    same((await reader.next()).response, "create", "a consumer is open");
    for (let number = from; number <= count; number += 1) {
      const { consume } = await reader.next();
      const id = answers.get(String(number));
      same([consume.message.payload.toString(), consume.id], [`record ${number}`, id], `record ${number}`);
    }
    same(await reader.close(), [], "and no more");
  }

  // What opens no stream, and why.
  const precondition = grpc.status.FAILED_PRECONDITION;
  const later = { ...pchannel, term: "3" };
  const unmatched = [precondition, "UNMATCHED_CHANNEL_TERM", "TF-L11"];
  same(await failure(producer(node.address, { pchannel: later }).next()), unmatched, "a term too high");
  const unknown = [precondition, "CHANNEL_NOT_EXIST", "TF-L10"];
  const nothing = { pchannel: { name: "nothing", term: "2" } };
  same(await failure(producer(node.address, nothing).next()), unknown, "a channel that is not there");
  const bare = [grpc.status.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L01"];
  same(await failure(producer(node.address).next()), bare, "a producer without metadata");
  same(await failure(consumer(node.address).next()), bare, "a consumer without metadata");
  const blank = [grpc.status.INVALID_ARGUMENT, "INVAILD_ARGUMENT", "TF-L03"];
  same(await failure(consumer(node.address, { pchannel }).next()), blank, "a consumer without a policy");

  // A coordinator of another make gives the node a channel and takes it back. Terms only go up.
  const theirs = (term) => ({ pchannel: { name: "theirs", term } });
  const manage = (method, term, shown = serverid) =>
    ask("StreamingNodeManagerService", node.address, method, theirs(term), shown);
  const ignored = (begins) => [precondition, "IGNORED_OPERATION", begins];
  const produced = async (stream, text) => {
    stream.call.write({ produce: { request_id: "1", message: { payload: Buffer.from(text), properties: { _v: "1", _t: "2" } } } });
    same((await stream.next()).produce.response, "result", `${text} is produced`);
  };
  await manage("Assign", "5");
  const former = producer(node.address, theirs("5"), serverid);
  same((await former.next()).response, "create", "a channel that is assigned is open");
  await produced(former, "one");
  same(await failure(manage("Assign", "5")), ignored("TF-L07"), "the same again");
  same(await failure(manage("Assign", "4")), ignored("TF-L08"), "a lower term");
  same(await failure(manage("Remove", "4")), ignored("TF-L08"), "a removal of a lower term");
  const other = { serverid: String(BigInt(node.server_id) + 1n) };
  const elsewhere = [precondition, "CHANNEL_NOT_EXIST", "TF-L06"];
  same(await failure(manage("Assign", "7", other)), elsewhere, "another node is meant");
  await manage("Assign", "6");
  same(await failure(producer(node.address, theirs("5")).next()), unmatched, "the term before is over");
  const successor = producer(node.address, theirs("6"), serverid);
  same((await successor.next()).response, "create", "a higher term is open");
  await produced(successor, "two");
  same(await successor.close(), [], "nothing was under way");
  const both = consumer(node.address, { ...theirs("6"), deliver_policy: { all: {} } }, serverid);
  same((await both.next()).response, "create", "a consumer is open");
  for (const text of ["one", "two"]) {
    same((await both.next()).consume.message.payload.toString(), text, `${text} is read`);
  }
  same(await both.close(), [], "and no more");
  await manage("Remove", "6");
  same(await failure(producer(node.address, theirs("6")).next()), unknown, "what was taken back is not here");
  same(await failure(manage("Remove", "6")), ignored("TF-L08"), "the removal again");
  const said = await ask("StreamingNodeManagerService", node.address, "CollectStatus", {});
  check(said.balance_attributes !== null, "the node says how it is");

  // An error that is reported ends in a new term.
  watch.call.write({ report_error: { pchannel, err: { code: "STREAMING_CODE_UNKNOWN", cause: "x" } } });
  const term = (pushed) => pushed.assignments[0]?.channels[0]?.term;
  while (term(last) !== "3") {
    const { full_assignment: next } = await watch.next();
    check(above(next.version, last.version), "versions grow");
    last = next;
  }
  await watch.close();
  const { state } = await ask("StreamingCoordStateService", coordinator, "GetComponentStates", {});
  same([state.role, state.state_code], ["streamingcoord", "Healthy"], "the coordinator's state");
  console.log("PASSED");
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
