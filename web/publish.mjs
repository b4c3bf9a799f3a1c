/** Publishes a finished build for running servers: moves it from dist/.new to dist. An asset's name contains a hash of
 *  its content, so assets never replace different assets. Those of earlier builds are kept for seven days, for pages
 *  that are still open. HTML files are moved after all assets, because they load the assets. */

import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("dist", import.meta.url));
const NEW = join(DIST, ".new");
const KEPT_MS = 7 * 24 * 60 * 60 * 1000;

async function publish() {
  const assets = join(DIST, "assets");
  await mkdir(assets, { recursive: true });
  for (const file of await readdir(join(NEW, "assets"))) {
    await rename(join(NEW, "assets", file), join(assets, file));
  }
  // A server reads all pages again when index.html has changed, so index.html is moved last.
  const pages = (await readdir(NEW)).filter((file) => file.endsWith(".html") && file !== "index.html");
  for (const page of [...pages, "index.html"]) await rename(join(NEW, page), join(DIST, page));
  await rm(NEW, { recursive: true });
  await removeOld(assets);
}

/** Removes the assets that no build of the last seven days had. */
async function removeOld(folder) {
  for (const file of await readdir(folder)) {
    const { mtimeMs } = await stat(join(folder, file));
    if (Date.now() - mtimeMs > KEPT_MS) await rm(join(folder, file));
  }
}

await publish();
