import pytest
from basket import pick_prices, total


@pytest.fixture
def basket():
    prices = pick_prices(3)
    print("a basket of", prices)
    return prices


def test_an_empty_basket_costs_nothing():
    assert total([]) == 0


@pytest.mark.parametrize("discount", [0, 10, 100])
def test_a_discount_never_raises_the_price(basket, discount):
    assert total(basket, discount) <= total(basket)


def test_a_shop_never_pays_its_customers():
    assert total([2.5, 4], discount=150) >= 0


@pytest.mark.skip(reason="no gift cards yet")
def test_a_gift_card_pays():
    raise NotImplementedError
