/** The client of the signed-in user. */

import type { Client } from "@urql/core";
import { createContext, type RefObject } from "react";

/** The client of the current key, for code that may run after the key has changed. For example, an undo that is
 *  retried uses the new key. */
export const CurrentClient = createContext<RefObject<Client | null>>({ current: null });
