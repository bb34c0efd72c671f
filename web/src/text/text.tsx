// Texts in the reader's language, and numbers, times and money as people there write them.

import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from "react";

import { en, type Key } from "./en";
import { nl } from "./nl";

export const LANGUAGES = { en: "English", nl: "Nederlands" } as const;
export type Language = keyof typeof LANGUAGES;
const TEXTS: Record<Language, Record<Key, string>> = { en, nl };
const STORED = "laterna.language";

type Values = Record<string, string | number>;

export interface Text {
  language: Language;
  setLanguage: (language: Language) => void;
  t: (key: Key, values?: Values) => string;
  known: (key: string, otherwise: string) => string; // the text of a key that may not be there
  number: (n: number, digits?: number) => string;
  percent: (part: number) => string;
  seconds: (s: number) => string;
  amount: (amount: number, currency: string) => string; // of money
  money: (amount: number, currency: string) => string; // a price: nothing is free
  time: (iso: string) => string;
  day: (date: string) => string; // YYYY-MM-DD
  ago: (iso: string) => string;
  bytes: (n: number) => string;
}

const Context = createContext<Text | null>(null);

export function useText(): Text {
  return useContext(Context)!;
}

function preferred(): Language {
  const stored = localStorage.getItem(STORED);
  const wanted = [stored, ...navigator.languages].map((tag) => tag?.slice(0, 2));
  return (wanted.find((tag) => tag && tag in LANGUAGES) as Language | undefined) ?? "en";
}

export function TextProvider({ children }: { children: ReactNode }) {
  const [language, set] = useState(preferred);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const text = useMemo(() => {
    const setLanguage = (chosen: Language) => {
      localStorage.setItem(STORED, chosen);
      set(chosen);
    };
    return { language, setLanguage, ...speak(language) };
  }, [language]);
  return <Context value={text}>{children}</Context>;
}

function speak(language: Language): Omit<Text, "language" | "setLanguage"> {
  const texts = TEXTS[language];
  const number = (n: number, digits = 1) =>
    new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(n);
  const fill = (text: string, values: Values) =>
    text.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name];
      return value === undefined ? whole : typeof value === "number" ? number(value) : value;
    });
  const t = (key: Key, values: Values = {}) => {
    const forms = texts[key].split("|");
    const n = values.n;
    return fill(forms.length > 1 && n !== 1 ? forms[1]! : forms[0]!, values);
  };
  const seconds = (s: number) => {
    if (s < 10) return t("common.seconds", { n: number(s, 1) });
    if (s < 120) return t("common.seconds", { n: number(s, 0) });
    const unit = s < 7200 ? "minute" : "hour";
    const n = s / (unit === "minute" ? 60 : 3600);
    return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: 1 }).format(n);
  };
  const amount = (n: number, currency: string) =>
    new Intl.NumberFormat(language, { style: "currency", currency, ...(n === 0 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 }) }).format(n);
  return {
    t,
    known: (key, otherwise) => (key in texts ? texts[key as Key] : otherwise),
    number,
    seconds,
    percent: (part) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(part),
    amount,
    money: (price, currency) => (price === 0 ? t("common.free") : amount(price, currency)),
    day: (date) => new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: "UTC" }).format(new Date(`${date}T00:00Z`)),
    time: (iso) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso)),
    ago: (iso) => ago(language, (Date.parse(iso) - Date.now()) / 1000),
    bytes: (n) => {
      const [unit, size] = n < 1e6 ? (["kilobyte", 1e3] as const) : n < 1e9 ? (["megabyte", 1e6] as const) : (["gigabyte", 1e9] as const);
      return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: 1 }).format(n / size);
    },
  };
}

function ago(language: Language, seconds: number): string {
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const units = [["day", 86_400], ["hour", 3600], ["minute", 60]] as const;
  const found = units.find(([, size]) => Math.abs(seconds) >= size);
  return found ? format.format(Math.round(seconds / found[1]), found[0]) : format.format(Math.round(seconds < 5 ? Math.min(seconds, 0) : seconds), "second");
}
