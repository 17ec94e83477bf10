// The smallest ordinary JS v3 program: who am I, COUNT times with PAUSE seconds between.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const [count = "1", pause = "0"] = process.argv.slice(2);
const sts = new STSClient({});
for (let call = 0; call < Number(count); call += 1) {
  if (call) await new Promise((go) => setTimeout(go, Number(pause) * 1000));
  try {
    const answer = await sts.send(new GetCallerIdentityCommand({}));
    console.log(`arn ${answer.Arn}`);
  } catch (error) {
    console.error(`${error.name}: ${error.message}`);
    process.exit(1);
  }
}
