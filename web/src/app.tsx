// The shell around every view: navigation, settings of the page, and who is signed in.

import { lazy, Suspense, useEffect, useRef, type ReactNode } from "react";
import { Link, Redirect, Route, Router, Switch, useLocation } from "wouter";

import { IconButton } from "./parts/controls";
import { Icon, Logo, type IconName } from "./parts/icons";
import { Empty, Loading } from "./parts/states";
import { useTheme, type Theme } from "./parts/theme";
import { Toasts } from "./parts/toast";
import { SignIn } from "./sign_in";
import { useSession } from "./talk/session";
import type { Key } from "./text/en";
import { LANGUAGES, useText, type Language } from "./text/text";

const Models = lazy(() => import("./models/models"));
const Playground = lazy(() => import("./models/playground"));
const Gallery = lazy(() => import("./gallery/gallery"));
const Requests = lazy(() => import("./requests/requests"));
const OneRequest = lazy(() => import("./requests/one"));
const Usage = lazy(() => import("./usage/usage"));
const Settings = lazy(() => import("./settings/settings"));
const Docs = lazy(() => import("./docs/docs"));
const Operator = lazy(() => import("./operator/operator"));

const BASE = new URL(document.baseURI).pathname.replace(/\/$/, "");
const THEMES: { theme: Theme; icon: IconName }[] = [
  { theme: "system", icon: "half" },
  { theme: "light", icon: "sun" },
  { theme: "dark", icon: "moon" },
];

export function App() {
  const { key } = useSession();
  return (
    <Router base={BASE}>
      {key ? <Shell /> : <SignIn />}
      <Toasts />
    </Router>
  );
}

function Shell() {
  const { t } = useText();
  const { who } = useSession();
  const main = useRef<HTMLElement>(null);
  const [location] = useLocation();
  useMoved(location, main);
  return (
    <>
      <a className="skip" href={`${location}#main`} onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        {t("app.skip")}
      </a>
      <Header />
      {who?.problem && (
        <p className="notice" role="status">
          {t("app.notReady", { why: who.problem })}
        </p>
      )}
      <main id="main" ref={main} tabIndex={-1}>
        <Suspense fallback={<Loading />}>
          <Views />
        </Suspense>
      </main>
    </>
  );
}

function Views() {
  return (
    <Switch>
      <Route path="/">
        <Redirect to="/models" replace />
      </Route>
      <Route path="/models">
        <Models />
      </Route>
      <Route path="/models/*">{(params) => <OneModel path={params["*"] ?? ""} />}</Route>
      <Route path="/gallery">
        <Gallery />
      </Route>
      <Route path="/requests">
        <Requests />
      </Route>
      <Route path="/requests/:id">{(params) => <OneRequest key={params.id} id={params.id} />}</Route>
      <Route path="/usage">
        <Usage />
      </Route>
      <Route path="/settings">
        <Settings />
      </Route>
      <Route path="/docs">
        <Docs />
      </Route>
      <Route path="/operator">
        <Operator />
      </Route>
      <Route>
        <NotFound />
      </Route>
    </Switch>
  );
}

// An endpoint's id has slashes of its own; `/api` after it is the tab with the calls.
function OneModel({ path }: { path: string }) {
  const isApi = path.endsWith("/api");
  const id = isApi ? path.slice(0, -"/api".length) : path;
  return <Playground key={id} id={id} tab={isApi ? "api" : "play"} />;
}

function Header() {
  const { t } = useText();
  const { who, signOut } = useSession();
  return (
    <header className="top">
      <Link href="/models" className="brand">
        <Logo /> Laterna
      </Link>
      <nav aria-label={t("nav.main")}>
        <Tab href="/models" icon="models" text="nav.models" />
        <Tab href="/gallery" icon="gallery" text="nav.gallery" />
        <Tab href="/requests" icon="requests" text="nav.requests" />
        <Tab href="/usage" icon="usage" text="nav.usage" />
        <Tab href="/docs" icon="docs" text="nav.docs" />
        {who?.operator && <Tab href="/operator" icon="operator" text="nav.operator" />}
      </nav>
      <div className="settings">
        <Languages />
        <Themes />
        <Link href="/settings" className="icon-button" aria-label={t("nav.settings")} title={t("nav.settings")}>
          <Icon name="key" />
        </Link>
        <IconButton icon="out" label={t("nav.signOut")} onClick={signOut} />
      </div>
    </header>
  );
}

function Tab({ href, icon, text }: { href: string; icon: IconName; text: Key }) {
  const { t } = useText();
  const [location] = useLocation();
  const here = location === href || location.startsWith(`${href}/`);
  return (
    <Link href={href} aria-current={here ? "page" : undefined}>
      <Icon name={icon} />
      <span>{t(text)}</span>
    </Link>
  );
}

export function Languages() {
  const { t, language, setLanguage } = useText();
  return (
    <label className="language">
      <span className="hidden">{t("nav.language")}</span>
      <select value={language} onChange={(event) => setLanguage(event.target.value as Language)}>
        {Object.entries(LANGUAGES).map(([tag, name]) => (
          <option key={tag} value={tag} lang={tag}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Themes() {
  const { t } = useText();
  const [theme, setTheme] = useTheme();
  const at = THEMES.findIndex((one) => one.theme === theme);
  const following = THEMES[(at + 1) % THEMES.length]!;
  return (
    <IconButton
      icon={THEMES[at]!.icon}
      label={`${t("nav.theme")}: ${t(`nav.theme.${theme}`)}`}
      onClick={() => setTheme(following.theme)}
    />
  );
}

function NotFound(): ReactNode {
  const { t } = useText();
  return (
    <Empty icon="search" title={t("common.notFound")}>
      <Link href="/models" className="button">
        {t("common.home")}
      </Link>
    </Empty>
  );
}

// Another view: begin at its top, and let the keyboard begin there too.
function useMoved(location: string, main: React.RefObject<HTMLElement | null>): void {
  const last = useRef(location);
  useEffect(() => {
    if (last.current === location) return;
    last.current = location;
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [location, main]);
}
