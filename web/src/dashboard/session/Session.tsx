/** The signed-in session: the key, its account, and the client that sends the key. */

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
import { endSession, joinSession, keepKey, readKey } from "../../session";
import { makeClient } from "../client/client";
import { CurrentClient } from "../client/current";
import { type Failure, failureOf } from "../client/failures";
import { Loading } from "../design/States";
import { type Scope, ViewerDocument, type ViewerQuery } from "../graph/graphql";
import { forgetLists } from "../lists/usePages";
import { SignIn, SignInAgain } from "./SignIn";

export type Viewer = ViewerQuery["viewer"];

interface Session {
  viewer: Viewer;
  /** Returns true if the key has this scope. Nothing is offered that the key may not do. */
  may: (scope: Scope) => boolean;
  /** Continues with another key. Returns null, or the reason if the key is not accepted. */
  signIn: (key: string) => Promise<Failure | null>;
  /** Asks the server for the key's name and scopes again. Call this after a change of the key. */
  refresh: () => void;
  signOut: () => void;
}

interface SignedIn {
  key: string;
  viewer: Viewer;
}

const Context = createContext<Session | null>(null);

/** Returns the session. Only works inside `SessionProvider`, where someone is signed in. */
export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("useSession is used outside of SessionProvider");
  return session;
}

/** Asks the server for the account and scopes of a key. Returns a failure if the key cannot be used. */
async function identify(key: string): Promise<SignedIn | Failure> {
  const { data, error } = await makeClient(key).query(ViewerDocument, {}).toPromise();
  if (!data) return error ? failureOf(error) : { kind: "unavailable" };
  const message = unfitness(data.viewer);
  return message ? { kind: "unfit", message } : { key, viewer: data.viewer };
}

/** Returns why the dashboard does not accept a key, or null if it does. */
function unfitness({ keyKind, scopes }: Viewer): string | null {
  if (keyKind === "SESSION")
    return "This is the session of a customer, which only shows that customer. Use a key of your account.";
  if (!scopes.includes("READ")) return "This key does not have the scope READ. Use another key.";
  return null;
}

/** Shows the sign-in page until a key is accepted, then shows `children`. If the key is rejected later, a dialog on top
 *  of `children` asks for another key. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const [signedIn, setSignedIn] = useState<SignedIn | null>(readSignedIn);
  const [isRefused, setIsRefused] = useState(false);
  const [isChecking, setIsChecking] = useState(() => readKey() !== null && readSignedIn() === null);
  const [failure, setFailure] = useState<Failure | null>(null);

  const signIn = useCallback(async (key: string, isStored = false): Promise<Failure | null> => {
    const found = await identify(key);
    if (isStored && readKey() !== key) return null; // in the meantime, the session has ended in another tab
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

  const showSignIn = useCallback(() => {
    forgetLists();
    setFailure(null);
    setIsRefused(false);
    setSignedIn(null);
  }, []);

  const signOut = useCallback(() => {
    endSession();
    showSignIn();
  }, [showSignIn]);

  useEffect(
    () =>
      joinSession({
        keyToShare: () => (signedIn && !isRefused ? signedIn.key : null),
        onChange: () => {
          if (readKey() === null) showSignIn();
          else setIsChecking(true);
        },
      }),
    [signedIn, isRefused, showSignIn],
  );

  // The key may have come from another tab just before this tab joined the session.
  useEffect(() => {
    if (readKey() !== null && readSignedIn() === null) setIsChecking(true);
  }, []);

  // If the key was entered in GraphiQL or came from another tab, only the key is stored. Ask the server for the account
  // and the scopes.
  useEffect(() => {
    const key = readKey();
    if (!isChecking || key === null) return;
    void signIn(key, true).then((failed) => {
      setFailure(failed);
      setIsChecking(false);
    });
  }, [isChecking, signIn]);

  // The browser may restore this page from its cache after the key was changed in GraphiQL.
  useEffect(() => {
    const compare = ({ persisted }: PageTransitionEvent) => {
      if (persisted && readKey() !== (signedIn?.key ?? null)) location.reload();
    };
    window.addEventListener("pageshow", compare);
    return () => window.removeEventListener("pageshow", compare);
  }, [signedIn]);

  const key = signedIn?.key ?? null;
  // The client and its cache only depend on the key. They stay the same if the key's scopes change.
  const client = useMemo(
    () =>
      key === null
        ? null
        : makeClient(key, {
            onRefused: () => setIsRefused(true),
            onForbidden: () => void signIn(key, true),
          }),
    [key, signIn],
  );
  const current = useRef(client);
  current.current = client;
  const session = useMemo(
    () =>
      signedIn && {
        viewer: signedIn.viewer,
        may: (scope: Scope) => signedIn.viewer.scopes.includes(scope),
        signIn,
        refresh: () => void signIn(signedIn.key, true),
        signOut,
      },
    [signedIn, signIn, signOut],
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

/** Reads the stored account and scopes of the key, so that a reload does not need to ask the server again. */
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
