// Calls back when an element comes near the window: how lists ask for their next page.

import { useEffect, useRef, type RefObject } from "react";

export function useNear(near: () => void): RefObject<HTMLDivElement | null> {
  const element = useRef<HTMLDivElement>(null);
  const latest = useRef(near);
  latest.current = near;
  useEffect(() => {
    const observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && latest.current(), {
      rootMargin: "800px",
    });
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  });
  return element;
}
