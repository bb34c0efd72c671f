// Who is signed in. The key lives in this tab's session storage and nowhere else.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useCallback, useContext, useMemo, useState, type ReactNode } from "react";

import { get, rememberKey } from "./http";
import type { Session } from "./types";

const STORED = "laterna.key";

interface Signed {
  key: string; // empty: nobody
  who: Session | undefined; // absent until the server has said
  signIn: (key: string) => Promise<void>;
  signOut: () => void;
}

const Context = createContext<Signed | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [key, setKey] = useState(() => sessionStorage.getItem(STORED) ?? "");
  const queries = useQueryClient();
  const signOut = useCallback(() => {
    sessionStorage.clear();
    setKey("");
    queries.clear();
  }, [queries]);
  rememberKey(key, signOut);
  const { data: who } = useQuery({
    queryKey: ["session", key],
    queryFn: ({ signal }) => get<Session>("api/page/session", signal),
    enabled: key !== "",
    refetchInterval: (query) => (query.state.data?.problem ? 3_000 : false),
  });
  const signIn = useCallback(
    async (text: string) => {
      rememberKey(text, () => {});
      const found = await get<Session>("api/page/session");
      sessionStorage.setItem(STORED, text);
      queries.setQueryData(["session", text], found);
      setKey(text);
    },
    [queries],
  );
  const signed = useMemo(() => ({ key, who, signIn, signOut }), [key, who, signIn, signOut]);
  return <Context value={signed}>{children}</Context>;
}

export function useSession(): Signed {
  return useContext(Context)!;
}
