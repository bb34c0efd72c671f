// What a view shows while it has nothing else: it loads, it is empty, it failed.

import type { ReactNode } from "react";

import { ApiError } from "../talk/http";
import { useText } from "../text/text";
import { Icon, type IconName } from "./icons";

export function Loading() {
  const { t } = useText();
  return (
    <p className="loading" role="status">
      <span className="spinner" aria-hidden="true" /> {t("common.loading")}
    </p>
  );
}

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} />
      <p className="empty-title">{title}</p>
      {children && <div className="muted">{children}</div>}
    </div>
  );
}

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useText();
  return (
    <div className="failure" role="alert">
      <p>{useReason(error)}</p>
      {retry && (
        <button type="button" className="button" onClick={retry}>
          {t("common.retry")}
        </button>
      )}
    </div>
  );
}

export function useReason(error: unknown): string {
  const { t } = useText();
  if (error instanceof ApiError) return error.status === 0 ? t("common.unreachable") : error.message;
  return t("common.failed");
}
