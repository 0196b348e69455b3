// One line for each operation that did what it should.

import assert from "node:assert/strict";

export const passed = (...words) => console.log("ok", ...words);

// The call must be refused with this status.
export async function refused(call, status) {
  await assert.rejects(call, (error) => {
    assert.equal(error.statusCode, status, error);
    return true;
  });
}
