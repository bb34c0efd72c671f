// A value once it has not changed for a while: what is sent for while somebody types.

import { useEffect, useState } from "react";

export function useSettled<T>(value: T, ms = 300): T {
  const [settled, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
