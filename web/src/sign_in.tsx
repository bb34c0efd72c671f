// The door: a key of this server.

import { useState, type FormEvent } from "react";

import { Languages, Themes } from "./app";
import { IconButton } from "./parts/controls";
import { Logo } from "./parts/icons";
import { useReason } from "./parts/states";
import { ApiError } from "./talk/http";
import { useSession } from "./talk/session";
import { useText } from "./text/text";

export function SignIn() {
  const { t } = useText();
  const { signIn } = useSession();
  const [key, setKey] = useState("");
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const reason = useReason(error);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(key.trim());
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <main className="sign-in">
      <div className="sign-in-settings">
        <Languages />
        <Themes />
      </div>
      <form onSubmit={submit}>
        <Logo />
        <h1>Laterna</h1>
        <p className="muted">{t("app.tagline")}</p>
        <label className="field">
          <span className="field-name">{t("sign.key")}</span>
          <span className="with-button">
            <input
              type={shown ? "text" : "password"}
              value={key}
              onChange={(event) => setKey(event.target.value)}
              autoComplete="current-password"
              spellCheck={false}
              required
              autoFocus
              aria-invalid={error != null}
              aria-describedby="sign-in-hint"
            />
            <IconButton icon="eye" label={t(shown ? "sign.hide" : "sign.show")} onClick={() => setShown(!shown)} />
          </span>
        </label>
        {error != null && (
          <p className="problem" role="alert">
            {error instanceof ApiError && error.status === 401 ? t("sign.wrong") : reason}
          </p>
        )}
        <button className="button primary large" disabled={busy || !key.trim()}>
          {t(busy ? "sign.busy" : "sign.go")}
        </button>
        <div id="sign-in-hint" className="muted small">
          <p>{t("sign.hint")}</p>
          <pre>laterna env | grep FAL_KEY</pre>
          <p>{t("sign.kept")}</p>
        </div>
      </form>
    </main>
  );
}
