// A question in a dialog, whose answer is sent; what goes wrong is said where it was asked.

import { useState, type FormEvent, type ReactNode } from "react";

import { useText } from "../text/text";
import { Dialog } from "./dialog";
import { useReason } from "./states";

interface AskedProps {
  title: string;
  action: string;
  danger?: boolean;
  disabled?: boolean;
  onConfirm: () => Promise<void>;
  onClose: () => void;
  children: ReactNode;
}

export function Asked({ title, action, danger, disabled, onConfirm, onClose, children }: AskedProps) {
  const { t } = useText();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const reason = useReason(error);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog label={title} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <h2>{title}</h2>
        {children}
        {error != null && (
          <p className="problem" role="alert">
            {reason}
          </p>
        )}
        <div className="buttons end">
          <button type="button" className="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
          <button className={danger ? "button danger solid" : "button primary"} disabled={busy || disabled}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
