"""Signed REST answers about the account: balances, positions, leverage, income, modes, listen keys."""

from decimal import Decimal

from tui_trader.exchange import margin
from tui_trader.exchange.accounts import MAKER_FEE, TAKER_FEE, Account, Position
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.orders import ZERO
from tui_trader.exchange.params import Params
from tui_trader.exchange.reject import VenueError, invalid, missing
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.wire import plain, trimmed

Json = dict[str, object]
_SUCCESS: Json = {"code": 200, "msg": "success"}
_ALIAS = "SgsR"


def _money(value: Decimal) -> str:
    return format(value.quantize(Decimal("0.00000001")), "f")


class AccountApi:
    """Account endpoints. Every method takes the account and the parameters and returns a JSON value."""

    def __init__(self, engine: ExchangeEngine) -> None:
        self.engine = engine

    def balance(self, account: Account, params: Params) -> object:
        """GET /balance."""
        totals = margin.summary(self.engine.venue, account)
        row = {
            "accountAlias": _ALIAS,
            "asset": "USDT",
            "balance": _money(account.wallet),
            "crossWalletBalance": _money(account.wallet),
            "crossUnPnl": _money(totals.unrealized),
            "availableBalance": _money(totals.available),
            "maxWithdrawAmount": _money(min(totals.available, account.wallet)),
            "marginAvailable": True,
            "updateTime": account.updated_ms,
        }
        return [row]

    def _totals(self, account: Account) -> Json:
        totals = margin.summary(self.engine.venue, account)
        return {
            "totalInitialMargin": _money(totals.initial),
            "totalMaintMargin": _money(totals.maintenance),
            "totalWalletBalance": _money(totals.wallet),
            "totalUnrealizedProfit": _money(totals.unrealized),
            "totalMarginBalance": _money(totals.balance),
            "totalPositionInitialMargin": _money(totals.position_initial),
            "totalOpenOrderInitialMargin": _money(totals.order_initial),
            "totalCrossWalletBalance": _money(totals.wallet),
            "totalCrossUnPnl": _money(totals.unrealized),
            "availableBalance": _money(totals.available),
            "maxWithdrawAmount": _money(min(totals.available, totals.wallet)),
        }

    def _asset(self, account: Account) -> Json:
        totals = margin.summary(self.engine.venue, account)
        return {
            "asset": "USDT",
            "walletBalance": _money(totals.wallet),
            "unrealizedProfit": _money(totals.unrealized),
            "marginBalance": _money(totals.balance),
            "maintMargin": _money(totals.maintenance),
            "initialMargin": _money(totals.initial),
            "positionInitialMargin": _money(totals.position_initial),
            "openOrderInitialMargin": _money(totals.order_initial),
            "crossWalletBalance": _money(totals.wallet),
            "crossUnPnl": _money(totals.unrealized),
            "availableBalance": _money(totals.available),
            "maxWithdrawAmount": _money(min(totals.available, totals.wallet)),
            "marginAvailable": True,
            "updateTime": account.updated_ms,
        }

    def account_v2(self, account: Account, params: Params) -> object:
        """GET /account of v1 and v2: all symbols and the account's rights."""
        rows = [self._account_position(account, state) for state in self.engine.states.values()]
        rights: Json = {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": account.can_withdraw,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }
        return rights | self._totals(account) | {"assets": [self._asset(account)], "positions": rows}

    def account_v3(self, account: Account, params: Params) -> object:
        """GET /account of v3: only symbols with a position or open orders."""
        states = self.engine.states
        rows = [self._position_v3(account, states[symbol]) for symbol in sorted(margin.active_symbols(account))]
        return self._totals(account) | {"assets": [self._asset(account)], "positions": rows}

    def account_config(self, account: Account, params: Params) -> object:
        """GET /accountConfig."""
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": account.can_withdraw,
            "dualSidePosition": account.dual_side,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def symbol_config(self, account: Account, params: Params) -> object:
        """GET /symbolConfig."""
        return [
            {
                "symbol": state.spec.symbol,
                "marginType": "CROSSED",
                "isAutoAddMargin": False,
                "leverage": account.leverage_of(state.spec),
                "maxNotionalValue": trimmed(margin.MAX_NOTIONAL),
            }
            for state in self._states(params)
        ]

    def _states(self, params: Params) -> list[SymbolState]:
        symbol = params.text("symbol")
        return [self.engine.venue.state(symbol)] if symbol else list(self.engine.states.values())

    def _margins(self, account: Account, state: SymbolState) -> tuple[Decimal, Decimal, Decimal]:
        """Return position initial margin, open order initial margin, maintenance margin of a symbol."""
        notional = abs(margin.position_notional(account, state))
        leverage = account.leverage_of(state.spec)
        orders = (margin.exposure(account, state) - notional) / leverage
        return notional / leverage, orders, notional * state.spec.maintenance_rate

    def _account_position(self, account: Account, state: SymbolState) -> Json:
        position = account.positions.get(state.spec.symbol) or Position(state.spec)
        initial, orders, maintenance = self._margins(account, state)
        bids, asks = margin.open_notionals(account, state)
        return {
            "symbol": state.spec.symbol,
            "initialMargin": _money(initial + orders),
            "maintMargin": _money(maintenance),
            "unrealizedProfit": _money(position.unrealized(state.mark_decimal())),
            "positionInitialMargin": _money(initial),
            "openOrderInitialMargin": _money(orders),
            "leverage": str(account.leverage_of(state.spec)),
            "isolated": False,
            "entryPrice": trimmed(position.entry_price),
            "breakEvenPrice": trimmed(position.break_even_price),
            "maxNotional": trimmed(margin.MAX_NOTIONAL),
            "positionSide": "BOTH",
            "positionAmt": trimmed(position.quantity),
            "notional": _money(margin.position_notional(account, state)),
            "isolatedWallet": "0",
            "updateTime": position.updated_ms,
            "bidNotional": trimmed(bids),
            "askNotional": trimmed(asks),
        }

    def _position_v3(self, account: Account, state: SymbolState) -> Json:
        position = account.positions.get(state.spec.symbol) or Position(state.spec)
        initial, orders, maintenance = self._margins(account, state)
        bids, asks = margin.open_notionals(account, state)
        mark = state.mark_decimal()
        return {
            "symbol": state.spec.symbol,
            "positionSide": "BOTH",
            "positionAmt": trimmed(position.quantity),
            "entryPrice": trimmed(position.entry_price),
            "breakEvenPrice": trimmed(position.break_even_price),
            "markPrice": _money(mark),
            "unRealizedProfit": _money(position.unrealized(mark)),
            "unrealizedProfit": _money(position.unrealized(mark)),
            "liquidationPrice": trimmed(self._liquidation(account, state)),
            "isolatedMargin": "0",
            "notional": _money(margin.position_notional(account, state)),
            "marginAsset": "USDT",
            "isolatedWallet": "0",
            "initialMargin": _money(initial + orders),
            "maintMargin": _money(maintenance),
            "positionInitialMargin": _money(initial),
            "openOrderInitialMargin": _money(orders),
            "adl": 0,
            "bidNotional": trimmed(bids),
            "askNotional": trimmed(asks),
            "updateTime": position.updated_ms,
        }

    def _liquidation(self, account: Account, state: SymbolState) -> Decimal:
        price = margin.liquidation_price(self.engine.venue, account, state)
        return price.quantize(Decimal(1).scaleb(-max(state.prices.places, 2))) if price else ZERO

    def position_risk_v2(self, account: Account, params: Params) -> object:
        """GET /positionRisk of v1 and v2: every symbol, with leverage and margin type."""
        rows: list[Json] = []
        for state in self._states(params):
            row = self._position_v3(account, state)
            row |= {
                "leverage": str(account.leverage_of(state.spec)),
                "maxNotionalValue": trimmed(margin.MAX_NOTIONAL),
                "marginType": "cross",
                "isAutoAddMargin": "false",
            }
            rows.append(row)
        return rows

    def position_risk_v3(self, account: Account, params: Params) -> object:
        """GET /positionRisk of v3: only symbols with a position or open orders."""
        active = margin.active_symbols(account)
        return [self._position_v3(account, state) for state in self._states(params) if state.spec.symbol in active]

    def income(self, account: Account, params: Params) -> object:
        """GET /income."""
        limit = params.limit(100, 1000)
        start, end = params.span()
        symbol, kind = params.text("symbol"), params.text("incomeType")
        page = max(params.integer("page") or 1, 1)
        rows = [
            row
            for row in account.income
            if start <= row.time_ms <= end
            and (symbol is None or row.symbol == symbol)
            and (kind is None or row.kind == kind)
        ]
        if params.has("startTime") or params.has("page"):
            picked = rows[(page - 1) * limit : page * limit]
        else:
            picked = rows[-limit:]
        return [
            {
                "symbol": row.symbol,
                "incomeType": row.kind,
                "income": plain(row.amount),
                "asset": "USDT",
                "info": row.info or row.kind,
                "time": row.time_ms,
                "tranId": row.transaction_id,
                "tradeId": row.trade_id,
            }
            for row in picked
        ]

    def set_leverage(self, account: Account, params: Params) -> object:
        """POST /leverage."""
        state = self.engine.venue.state(params.required("symbol"))
        leverage = params.integer("leverage")
        if leverage is None:
            raise missing("leverage")
        if not 1 <= leverage <= state.spec.max_leverage:
            raise VenueError(-4028, f"Leverage {leverage} is not valid")
        bound = margin.exposure(account, state)
        more = bound / leverage - bound / account.leverage_of(state.spec)
        if more > 0 and more > margin.summary(self.engine.venue, account).available:
            raise VenueError(-2019, "Margin is insufficient.")
        account.leverage[state.spec.symbol] = leverage
        now = self.engine.told_ms
        event: Json = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now}
        self.engine.venue.emit(account, event | {"ac": {"s": state.spec.symbol, "l": leverage}})
        return {
            "symbol": state.spec.symbol,
            "leverage": leverage,
            "maxNotionalValue": trimmed(margin.MAX_NOTIONAL),
        }

    def leverage_bracket(self, account: Account, params: Params) -> object:
        """GET /leverageBracket: one bracket a symbol."""
        return [
            {
                "symbol": state.spec.symbol,
                "notionalCoef": 1.0,
                "brackets": [
                    {
                        "bracket": 1,
                        "initialLeverage": state.spec.max_leverage,
                        "notionalCap": int(margin.MAX_NOTIONAL),
                        "notionalFloor": 0,
                        "maintMarginRatio": float(state.spec.maintenance_rate),
                        "cum": 0.0,
                    }
                ],
            }
            for state in self._states(params)
        ]

    def margin_type(self, account: Account, params: Params) -> object:
        """POST /marginType: cross only."""
        self.engine.venue.state(params.required("symbol"))
        kind = params.required("marginType").upper()
        if kind == "CROSSED":
            raise VenueError(-4046, "No need to change margin type.")
        if kind != "ISOLATED":
            raise invalid("marginType")
        raise VenueError(-4084, "Method is not allowed currently. This venue has cross margin only.")

    def position_mode(self, account: Account, params: Params) -> object:
        """GET /positionSide/dual."""
        return {"dualSidePosition": account.dual_side}

    def set_position_mode(self, account: Account, params: Params) -> object:
        """POST /positionSide/dual: back to one-way mode, the only one in which this venue takes orders."""
        params.required("dualSidePosition")
        if params.boolean("dualSidePosition"):
            raise VenueError(-4084, "Method is not allowed currently. This venue has one-way mode only.")
        if account.dual_side:
            account.dual_side = False
            return _SUCCESS
        raise VenueError(-4059, "No need to change position side.")

    def multi_assets(self, account: Account, params: Params) -> object:
        """GET /multiAssetsMargin."""
        return {"multiAssetsMargin": False}

    def commission_rate(self, account: Account, params: Params) -> object:
        """GET /commissionRate."""
        state = self.engine.venue.state(params.required("symbol"))
        return {
            "symbol": state.spec.symbol,
            "makerCommissionRate": plain(MAKER_FEE),
            "takerCommissionRate": plain(TAKER_FEE),
            "rpiCommissionRate": "0.00005",
        }

    def adl_quantile(self, account: Account, params: Params) -> object:
        """GET /adlQuantile: this venue never deleverages."""
        held = [symbol for symbol, position in account.positions.items() if position.lots]
        return [{"symbol": symbol, "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 0}} for symbol in held]

    def restrictions(self, account: Account, params: Params) -> object:
        """GET /sapi/v1/account/apiRestrictions."""
        return {
            "ipRestrict": False,
            "createTime": self.engine.start_ms,
            "enableReading": True,
            "enableWithdrawals": account.can_withdraw,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": True,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableSpotAndMarginTrading": False,
        }
