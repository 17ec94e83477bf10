// The smallest ordinary JS v3 program: who am I. With `each`: once for every line of stdin.
import { createInterface } from "node:readline";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const sts = new STSClient({});
const calls = process.argv[2] === "each" ? createInterface({ input: process.stdin }) : [""];
for await (const _ of calls) {
  try {
    const answer = await sts.send(new GetCallerIdentityCommand({}));
    console.log(`arn ${answer.Arn}`);
  } catch (error) {
    console.error(`${error.name}: ${error.message}`);
    process.exit(1);
  }
}
