// PostGraphile with production settings: no GraphiQL, no watch mode, no explain. Its schema is generated from the
// tables, and keys are checked before planning.
//
//   node server.mjs postgresql://…

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import pg from "pg";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { GraphQLError } from "postgraphile/graphql";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { PostGraphileConnectionFilterPreset } from "postgraphile-plugin-connection-filter";

// PostGraphile asks for Node 22. This is the only feature that Node 20 lacks.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new Promise((...settle) => ([resolve, reject] = settle));
  return { promise, resolve, reject };
};

const POOL_SIZE = 10; // the same as Licensegraph
const url = process.argv[2];

const client = new pg.Client({ connectionString: url });
await client.connect();
await client.query(await readFile(new URL("functions.sql", import.meta.url), "utf8"));
const keys = await client.query("SELECT digest, account_id FROM keys WHERE revoked_at IS NULL");
await client.end();
const accounts = new Map(keys.rows.map((key) => [key.digest, key.account_id]));

function accountOf(request) {
  const token = request.headers.authorization?.slice("Bearer ".length) ?? "";
  const account = accounts.get(createHash("sha256").update(token).digest("hex"));
  if (!account) throw new GraphQLError("No such key");
  return account;
}

const pgl = postgraphile({
  extends: [PostGraphileAmberPreset, PostGraphileConnectionFilterPreset],
  pgServices: [
    makePgService({ connectionString: url, schemas: ["public"], poolConfig: { max: POOL_SIZE } }),
  ],
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false, websockets: false },
  grafast: {
    explain: false,
    context: ({ node }) => ({ accountId: accountOf(node.req) }),
  },
});

const server = createServer();
server.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await pgl.createServ(grafserv).addTo(server);
server.listen(0, "127.0.0.1", () => {
  console.log(`It is running at http://127.0.0.1:${server.address().port}`);
});
