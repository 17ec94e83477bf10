// As client.mjs, with the provider that older releases take by themselves. It does not notice that
// an answer is cut.
import { createInterface } from "node:readline";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { fromContainerMetadata } from "@smithy/credential-provider-imds";

const sts = new STSClient({ credentials: fromContainerMetadata() });
const calls = process.argv[2] ? createInterface({ input: process.stdin }) : [""];
for await (const _ of calls) {
  try {
    const answer = await sts.send(new GetCallerIdentityCommand({}));
    console.log(`arn ${answer.Arn}`);
  } catch (error) {
    console.error(`${error.name}: ${error.message}`);
    process.exit(1);
  }
}
