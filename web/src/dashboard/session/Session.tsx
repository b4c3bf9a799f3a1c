/** Who is signed in: the key of this browser session, whose it is, and the client that sends it. */

import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { Provider } from "urql";
import { forgetKey, keepKey, readKey } from "../../session";
import { makeClient } from "../client/client";
import { CurrentClient } from "../client/current";
import { type Failure, failureOf } from "../client/failures";
import { Loading } from "../design/States";
import { ViewerDocument, type ViewerQuery } from "../graph/graphql";
import { forgetLists } from "../lists/usePages";
import { SignIn, SignInAgain } from "./SignIn";

export type Viewer = ViewerQuery["viewer"];

interface Session {
  viewer: Viewer;
  /** Whether the key may change anything. */
  canWrite: boolean;
  /** Whether the key may see customers: some installations keep them from public keys. */
  canReadCustomers: boolean;
  signOut: () => void;
}

interface SignedIn {
  key: string;
  viewer: Viewer;
}

const Context = createContext<Session | null>(null);

/** The session. Only below `SessionProvider`, that is, only when somebody is signed in. */
export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("useSession is used outside of SessionProvider");
  return session;
}

/** Whose key this is, asked of the server. */
async function identify(key: string): Promise<SignedIn | Failure> {
  const { data, error } = await makeClient(key, () => {})
    .query(ViewerDocument, {})
    .toPromise();
  if (data) return { key, viewer: data.viewer };
  return error ? failureOf(error) : { kind: "unavailable" };
}

/** Asks for a key until there is one that the server takes, then shows its children. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const [signedIn, setSignedIn] = useState<SignedIn | null>(readSignedIn);
  const [isRefused, setIsRefused] = useState(false);
  const [isChecking, setIsChecking] = useState(() => readKey() !== null && readSignedIn() === null);
  const [failure, setFailure] = useState<Failure | null>(null);

  const signIn = useCallback(async (key: string): Promise<Failure | null> => {
    const found = await identify(key);
    if ("kind" in found) return found;
    keepKey(key);
    keepViewer(found);
    setSignedIn((before) => {
      if (before && before.viewer.accountName !== found.viewer.accountName) forgetLists();
      return found;
    });
    setIsRefused(false);
    return null;
  }, []);

  const signOut = useCallback(() => {
    forgetKey();
    forgetLists();
    setFailure(null);
    setIsRefused(false);
    setSignedIn(null);
  }, []);

  // The key may have been given on the other page, which keeps no more of it.
  useEffect(() => {
    const key = readKey();
    if (!isChecking || key === null) return;
    void signIn(key).then((failed) => {
      setFailure(failed);
      setIsChecking(false);
    });
  }, [isChecking, signIn]);

  // The browser may bring this page back as it was left, while the key has been changed on the other page.
  useEffect(() => {
    const compare = ({ persisted }: PageTransitionEvent) => {
      if (persisted && readKey() !== (signedIn?.key ?? null)) location.reload();
    };
    window.addEventListener("pageshow", compare);
    return () => window.removeEventListener("pageshow", compare);
  }, [signedIn]);

  const client = useMemo(
    () => (signedIn ? makeClient(signedIn.key, () => setIsRefused(true)) : null),
    [signedIn],
  );
  const current = useRef(client);
  current.current = client;
  const session = useMemo(
    () =>
      signedIn && {
        viewer: signedIn.viewer,
        canWrite: signedIn.viewer.scopes.includes("WRITE"),
        canReadCustomers: signedIn.viewer.scopes.includes("READ_CUSTOMERS"),
        signOut,
      },
    [signedIn, signOut],
  );

  if (isChecking) return <Loading what="your key" />;
  if (!client || !session) return <SignIn signIn={signIn} failure={failure} />;
  return (
    <Context value={session}>
      <Provider value={client}>
        <CurrentClient value={current}>{children}</CurrentClient>
      </Provider>
      {isRefused && <SignInAgain viewer={session.viewer} signIn={signIn} signOut={signOut} />}
    </Context>
  );
}

const VIEWER = "licensegraph:viewer";

/** What is known of the key of this browser session, so that a reload need not ask again. */
function readSignedIn(): SignedIn | null {
  const key = readKey();
  const kept = sessionStorage.getItem(VIEWER);
  if (key === null || kept === null) return null;
  const viewer = JSON.parse(kept) as Viewer;
  return key.endsWith(viewer.keyLast4) ? { key, viewer } : null;
}

function keepViewer({ viewer }: SignedIn): void {
  sessionStorage.setItem(VIEWER, JSON.stringify(viewer));
}
