// Walks the operations that the official JavaScript packages offer, with their checks left on.
//
//   node walk.mjs URL CREDENTIAL CHAPTER...
//
// CREDENTIAL is a name of `credentials`. One line is printed for each operation that did what it should; the first that
// does not ends the program with its trace.

import { credentials } from "./credentials.mjs";
import * as cryptography from "./cryptography.mjs";
import * as keys from "./keys.mjs";

const chapters = {
  backup: keys.backUpAndRestore,
  cryptography: cryptography.walk,
  import: keys.importEachType,
  keys: keys.walk,
  random: keys.drawRandomBytes,
  release: keys.attestAndRelease,
  rotation: keys.rotate,
  signature: cryptography.signInAndSign,
  unread: cryptography.walkUnread,
};

const [url, credential, ...chosen] = process.argv.slice(2);
for (const name of chosen) {
  await chapters[name](url, credentials[credential]());
}
