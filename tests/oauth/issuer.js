// A real authorization server for one resource: node issuer.js PORT RESOURCE SECONDS, the lifetime of an access token.
// Whoever asks is logged in and consents at once, as POST /test says: {account, scopes}. GET /test counts the logins.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import Provider from "oidc-provider";

const [port, resource, seconds] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const scope = "images:generate images:read";
const state = { account: "ada", scopes: scope, logins: 0 };
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key = { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "ES256" };

const provider = new Provider(issuer, {
  clientDefaults: { id_token_signed_response_alg: "ES256", token_endpoint_auth_method: "none" },
  cookies: { keys: [randomUUID()] },
  enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => ({
        scope,
        audience: resource,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
      useGrantedResource: () => true,
    },
    revocation: { enabled: true, allowedPolicy: () => true },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: () => true,
  jwks: { keys: [key] },
  loadExistingGrant: async (ctx) => {
    const { grantId } = ctx.oidc.result?.consent ?? {};
    return grantId ? ctx.oidc.provider.Grant.find(grantId) : undefined;
  },
  scopes: ["openid", "offline_access", ...scope.split(" ")],
  ttl: { AccessToken: Number(seconds), Grant: 3600, Interaction: 600, RefreshToken: 3600, Session: 3600 },
});

async function answered(ctx) {
  if (ctx.method === "POST") {
    let text = "";
    for await (const part of ctx.req) text += part;
    Object.assign(state, JSON.parse(text));
  }
  ctx.body = state;
}

async function loggedIn(ctx) {
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const grant = new provider.Grant({ accountId: state.account, clientId: params.client_id });
  grant.addOIDCScope(`openid offline_access ${scope}`);
  grant.addResourceScope(resource, state.scopes);
  grant.rejectResourceScope(resource, scope.split(" ").filter((one) => !state.scopes.includes(one)).join(" "));
  state.logins += 1;
  const result = { login: { accountId: state.account }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  ctx.respond = false;
}

provider.use(async (ctx, next) => {
  if (ctx.path === "/test") await answered(ctx);
  else if (ctx.path.startsWith("/interaction/")) await loggedIn(ctx);
  else await next();
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
