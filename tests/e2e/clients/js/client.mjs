// The smallest ordinary JS v3 program: who am I. With `each`: once for every line of stdin. With
// `assume ARN`: for every line become that role, and go on if that is denied.
import { createInterface } from "node:readline";
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const sts = new STSClient({});
const [mode, arn] = process.argv.slice(2);
const calls = mode ? createInterface({ input: process.stdin }) : [""];
for await (const _ of calls) {
  try {
    if (mode === "assume") {
      await sts.send(new AssumeRoleCommand({ RoleArn: arn, RoleSessionName: "next" }));
      console.log("done");
    } else {
      const answer = await sts.send(new GetCallerIdentityCommand({}));
      console.log(`arn ${answer.Arn}`);
    }
  } catch (error) {
    const told = `${error.name}: ${error.message}`;
    if (mode !== "assume") {
      console.error(told);
      process.exit(1);
    }
    console.log(`no ${told}`);
  }
}
