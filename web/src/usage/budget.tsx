// What may be spent and what is: a purse for each currency.

import { useText } from "../text/text";
import type { Purse } from "../talk/types";

export function Budget({ purse }: { purse: Purse }) {
  const { t, amount } = useText();
  const { currency, prepaid, warned } = purse;
  const show = (text: string) => amount(Number(text), currency);
  const [spent, held] = [Number(purse.spent_this_month), Number(purse.held)];
  const most = purse.monthly === null ? null : Number(purse.monthly);
  return (
    <section className="panel budget" aria-label={t("usage.budget", { currency })}>
      <p className="figure">{show(purse.spent_this_month)}</p>
      <p className="muted">{most === null ? t("usage.monthFree") : t("usage.monthOf", { most: show(purse.monthly!) })}</p>
      {most !== null && (
        <meter min={0} max={most || 1} value={Math.min(spent, most)} high={purse.warn_at === null ? most * 0.8 : Number(purse.warn_at)} optimum={0} aria-label={t("usage.budget", { currency })} />
      )}
      <ul className="tags">
        {held > 0 && <li>{t("usage.held", { amount: show(purse.held) })}</li>}
        {(prepaid || Number(purse.credit) > 0) && <li>{t("usage.credit", { amount: show(purse.credit) })}</li>}
        {purse.warn_at !== null && <li>{t("usage.warnAt", { amount: show(purse.warn_at) })}</li>}
      </ul>
      {warned && <p className="problem">{t("usage.warned")}</p>}
    </section>
  );
}
