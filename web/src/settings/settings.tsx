// What is the tenant's own to arrange: keys, what it may use of the machine, and how the page looks.

import { LANGUAGES, useText, type Language } from "../text/text";
import { Segmented, Select } from "../parts/controls";
import { useTheme, type Theme } from "../parts/theme";
import { useSession } from "../talk/session";
import { Keys } from "./keys";
import { LimitsPanel, useLimits } from "./limits";

const THEMES: Theme[] = ["system", "light", "dark"];

export default function Settings() {
  const { t } = useText();
  const { who } = useSession();
  const { data: limits } = useLimits(); // which has the tenant's name
  return (
    <>
      <div className="page-head">
        <h1>{t("settings.title")}</h1>
        <p className="muted">{who && t("settings.lead", { tenant: limits?.tenant ?? who.tenant, scopes: who.scopes.join(", ") })}</p>
      </div>
      <div className="settings-view">
        {who && <Keys mayManage={who.scopes.includes("ADMIN")} />}
        <LimitsPanel />
        <Appearance />
      </div>
    </>
  );
}

function Appearance() {
  const { t, language, setLanguage } = useText();
  const { who } = useSession();
  const [theme, setTheme] = useTheme();
  return (
    <section className="panel" aria-labelledby="settings-page">
      <h2 id="settings-page" className="section-head">
        {t("settings.page")}
      </h2>
      <div className="form">
        <div className="field">
          <span className="field-name">{t("nav.language")}</span>
          <Select
            label={t("nav.language")}
            value={language}
            onChange={(tag) => setLanguage(tag as Language)}
            options={Object.entries(LANGUAGES).map(([value, text]) => ({ value, text }))}
          />
        </div>
        <div className="field">
          <span className="field-name">{t("nav.theme")}</span>
          <Segmented label={t("nav.theme")} value={theme} onChange={setTheme} options={THEMES.map((value) => ({ value, text: t(`nav.theme.${value}`) }))} />
        </div>
        {who && <p className="muted small">Laterna {who.version}</p>}
      </div>
    </section>
  );
}
