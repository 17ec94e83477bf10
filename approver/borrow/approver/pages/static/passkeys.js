// What the modules of the pages share: calls of our own server, and the browser's passkeys.

// An error whose message may be shown. `state` is the server's word for it.
export class Told extends Error {
  constructor(message, state = "") {
    super(message);
    this.state = state;
  }
}

// The server could not be reached: trying again may help.
export class Away extends Told {}

export async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error",
      credentials: "same-origin",
    });
  } catch {
    throw new Away("The server cannot be reached. Is there a network?");
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  if (said.borrow_state === "signed_out") {
    location.assign(`/signin?to=${encodeURIComponent(location.pathname)}`);
  }
  const parts = [said.error_description || "something went wrong there", said.borrow_hint];
  throw new Told(parts.filter(Boolean).map(sentence).join(" "), said.borrow_state);
}

export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

// -- the browser's passkeys ---------------------------------------------------------------------

export const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

export const base64url = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export const can = () => Boolean(window.PublicKeyCredential && navigator.credentials);

// An assertion over the server's challenge, as JSON text. `asked` comes from the server.
export async function use(asked) {
  const given = await prompt(() =>
    navigator.credentials.get({
      publicKey: {
        challenge: bytes(asked.challenge),
        rpId: asked.rp_id,
        userVerification: "required",
        timeout: 240000,
        allowCredentials: asked.allow.map((id) => ({ type: "public-key", id: bytes(id) })),
      },
    }),
  );
  return JSON.stringify({
    ...head(given),
    response: {
      clientDataJSON: base64url(given.response.clientDataJSON),
      authenticatorData: base64url(given.response.authenticatorData),
      signature: base64url(given.response.signature),
      ...(given.response.userHandle && { userHandle: base64url(given.response.userHandle) }),
    },
  });
}

// A new passkey, as JSON text.
export async function make(options) {
  const given = await prompt(() =>
    navigator.credentials.create({
      publicKey: {
        challenge: bytes(options.challenge),
        rp: { id: options.rp_id, name: "Borrow" },
        user: {
          id: bytes(options.user_handle),
          name: options.person,
          displayName: options.person,
        },
        pubKeyCredParams: options.algorithms.map((alg) => ({ type: "public-key", alg })),
        authenticatorSelection: { residentKey: "required", userVerification: "required" },
        excludeCredentials: options.exclude.map((id) => ({ type: "public-key", id: bytes(id) })),
        attestation: "none",
        timeout: 240000,
      },
    }),
  );
  return JSON.stringify({
    ...head(given),
    response: {
      clientDataJSON: base64url(given.response.clientDataJSON),
      attestationObject: base64url(given.response.attestationObject),
      transports: given.response.getTransports?.() ?? [],
    },
  });
}

const head = (given) => ({
  id: given.id,
  rawId: base64url(given.rawId),
  type: given.type,
  authenticatorAttachment: given.authenticatorAttachment ?? undefined,
  clientExtensionResults: {},
});

const WHY = {
  NotAllowedError: "The passkey was not used: it was stopped, took too long, or is not on this device.",
  InvalidStateError: "This device has a passkey for you here already.",
  SecurityError: "Passkeys are for another address than this page’s.",
  NotSupportedError: "This browser cannot make such a passkey.",
};

async function prompt(ask) {
  if (!can()) throw new Told("This browser has no passkeys.");
  try {
    return await ask();
  } catch (error) {
    throw new Told(WHY[error.name] ?? "The passkey did not work.", error.name);
  }
}

// -- forms --------------------------------------------------------------------------------------

// Shows `form` and runs `act` when it is sent; its buttons rest meanwhile, and errors are told.
export function run(form, act) {
  const told = form.querySelector(".told");
  const say = (text, calm = false) => {
    told.classList.toggle("calm", calm);
    told.textContent = text;
  };
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = [...form.querySelectorAll("button")];
    for (const button of buttons) button.disabled = true;
    say("");
    try {
      await act(new FormData(form), say);
    } catch (error) {
      if (!(error instanceof Told)) throw error;
      say(error.message);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  });
}

// Text into every element of `root` that is marked for `name`.
export function put(root, name, text) {
  for (const place of root.querySelectorAll(`[data-put="${name}"]`)) place.textContent = text;
}
