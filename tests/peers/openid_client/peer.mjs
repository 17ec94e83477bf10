// An OpenID client from npm walks our approver: discovery, private_key_jwt, CIBA with a signed
// request object, polling, token exchange, client credentials, revocation. It knows the standards
// and nothing of Borrow; what is ours is in the values that stdin gives it.
//
// stdin: one JSON object. stdout: one JSON object per step. A failure is a step "error".
import * as client from "openid-client";
import * as jose from "jose";
import { stdin, stdout } from "node:process";

const say = (step, facts) => stdout.write(JSON.stringify({ step, ...facts }) + "\n");

async function read() {
  let text = "";
  for await (const chunk of stdin.setEncoding("utf8")) text += chunk;
  return JSON.parse(text);
}

async function walk(given) {
  const key = await crypto.subtle.importKey(
    "jwk",
    given.sig,
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["sign"],
  );
  const config = await client.discovery(
    new URL(given.issuer),
    given.client_id,
    { id_token_signed_response_alg: "ES256" },
    client.PrivateKeyJwt({ key, kid: given.kid }),
    { execute: [client.allowInsecureRequests] },
  );
  const server = config.serverMetadata();
  say("discovered", { issuer: server.issuer });

  const request = await new jose.SignJWT(given.request)
    .setProtectedHeader({ alg: "ES256", typ: "oauth-authz-req+jwt", kid: given.kid })
    .sign(key);
  const asked = await client.initiateBackchannelAuthentication(config, { request });
  say("asked", { asked });

  const tokens = await client.pollBackchannelAuthenticationGrant(config, asked, undefined, {
    signal: AbortSignal.timeout(20_000),
  });
  say("granted", { claims: tokens.claims(), grant: tokens.grant_id, type: tokens.token_type });

  const minted = await client.genericGrantRequest(
    config,
    "urn:ietf:params:oauth:grant-type:token-exchange",
    {
      subject_token: tokens.access_token,
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      requested_token_type: "urn:borrow:token-type:credentials",
      resource: given.role,
    },
  );
  const { plaintext } = await jose.compactDecrypt(
    minted.access_token,
    await jose.importJWK(given.enc, "ECDH-ES"),
  );
  const minter = server.borrow_minter_jwks.keys.find((each) => each.use === "sig");
  const { payload } = await jose.compactVerify(
    new TextDecoder().decode(plaintext),
    await jose.importJWK(minter, "ES256"),
  );
  const inside = JSON.parse(new TextDecoder().decode(payload));
  say("minted", {
    issued: minted.issued_token_type,
    role: inside.role,
    access_key_id: inside.credentials.access_key_id,
  });

  const own = await client.clientCredentialsGrant(config, { scope: "catalogue" });
  say("own", { scope: own.scope, expires_in: own.expires_in });

  await client.tokenRevocation(config, tokens.access_token);
  say("revoked", {});
}

try {
  await walk(await read());
} catch (error) {
  const { name, message, code, status, error: word } = error;
  say("error", { name, message, code, status, word, cause: String(error.cause?.message ?? "") });
  process.exitCode = 1;
}
