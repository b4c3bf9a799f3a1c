/** The client of whoever is signed in now. */

import type { Client } from "@urql/core";
import { createContext, type RefObject } from "react";

/** For what outlives a key: an undo that is tried again goes out with the key that was given since. */
export const CurrentClient = createContext<RefObject<Client | null>>({ current: null });
