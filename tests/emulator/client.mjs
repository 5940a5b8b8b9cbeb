// What test_javascript.py asks of the emulator through @azure/service-bus; prints one JSON document of what came back.
import { createRequire } from "node:module";

const [connectionString, modules] = process.argv.slice(2);
const { ServiceBusClient } = createRequire(modules)("@azure/service-bus");
const client = new ServiceBusClient(connectionString);
const seen = {};

const sender = client.createSender("orders");
await sender.sendMessages({ body: { number: 1 }, applicationProperties: { kind: "one" }, subject: "s" });
const batch = await sender.createMessageBatch();
for (const body of ["two", "three", "four", "five"]) batch.tryAddMessage({ body });
await sender.sendMessages(batch);
const [scheduled] = await sender.scheduleMessages({ body: "later" }, new Date(Date.now() + 3600_000));
const receiver = client.createReceiver("orders");
seen.peeked = (await receiver.peekMessages(10)).map((one) => [one.state, one.sequenceNumber.toString()]);
await sender.cancelScheduledMessages(scheduled);

const received = [];
while (received.length < 5) {
  received.push(...(await receiver.receiveMessages(5 - received.length, { maxWaitTimeInMs: 20_000 })));
}
const [one, two, three, four, five] = received;
seen.first = { body: one.body, properties: one.applicationProperties, subject: one.subject, count: one.deliveryCount };
const before = one.lockedUntilUtc.getTime();
seen.renewed = (await receiver.renewMessageLock(one)).getTime() >= before;
await receiver.completeMessage(one);
await receiver.deadLetterMessage(two, { deadLetterReason: "why", deadLetterErrorDescription: "because", extra: 1 });
await receiver.deferMessage(three);
const [deferred] = await receiver.receiveDeferredMessages(three.sequenceNumber);
await receiver.completeMessage(deferred);
await receiver.abandonMessage(four, { tries: 1 });
await receiver.completeMessage(five);
const [again] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 20_000 });
seen.abandoned = { body: again.body, count: again.deliveryCount, properties: again.applicationProperties };
await receiver.completeMessage(again);
const deadLetters = client.createReceiver("orders", { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" });
const [dead] = await deadLetters.receiveMessages(1, { maxWaitTimeInMs: 20_000 });
seen.dead = { reason: dead.deadLetterReason, description: dead.deadLetterErrorDescription, extra: dead.applicationProperties.extra };

const sessions = client.createSender("pulls");
await sessions.sendMessages([{ body: "a1", sessionId: "a" }, { body: "a2", sessionId: "a" }]);
const session = await client.acceptNextSession("pulls");
await session.setSessionState(Buffer.from("parked"));
seen.state = (await session.getSessionState()).toString();
seen.session = session.sessionId;
seen.sessionRenewed = (await session.renewSessionLock()) instanceof Date;
const inSession = [];
while (inSession.length < 2) {
  inSession.push(...(await session.receiveMessages(2 - inSession.length, { maxWaitTimeInMs: 20_000 })));
}
seen.inSession = inSession.map((message) => message.body);
for (const message of inSession) await session.completeMessage(message);
try {
  await client.acceptSession("pulls", "a", { retryOptions: { maxRetries: 0 } });
} catch (error) {
  seen.conflict = error.code;
}
await session.close();

// A subscription keeps credit open while messages come, as a bot does.
const pushed = [];
await new Promise((resolve, reject) => {
  const listening = receiver.subscribe({
    processMessage: async (message) => {
      pushed.push(message.body);
      if (pushed.length === 50) listening.close().then(resolve, reject);
    },
    processError: async ({ error }) => reject(error),
  });
  sender.sendMessages(Array.from({ length: 50 }, (_, number) => ({ body: number }))).catch(reject);
});
seen.pushed = pushed.length;
await client.close();
console.log(JSON.stringify(seen));
