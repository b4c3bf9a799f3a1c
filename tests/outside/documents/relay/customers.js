// The documents for Relay, in its own form: a page is a fragment, and the compiler writes the query for the next page.
import { graphql } from "relay-runtime";

graphql`
  query customersQuery($app: String!) {
    app(slug: $app) {
      name
      ...customers_app
    }
  }
`;

graphql`
  fragment customers_app on App
  @refetchable(queryName: "customersNextPageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 2 }, after: { type: "String" }) {
    customers(first: $first, after: $after) @connection(key: "customers_app_customers") {
      edges {
        node {
          ...customers_row
        }
      }
    }
  }
`;

graphql`
  fragment customers_row on Customer {
    id
    email
  }
`;

graphql`
  query customersLicensesQuery($customer: ID!, $after: String) {
    customer(id: $customer) {
      licenses(first: 2, after: $after) {
        nodes {
          status
        }
        pageInfo {
          endCursor
          hasNextPage
        }
      }
    }
  }
`;

graphql`
  mutation customersRenameMutation($customer: ID!, $name: String!) {
    updateCustomer(input: { id: $customer, name: $name }) {
      customer {
        name
      }
      userErrors {
        code
      }
    }
  }
`;
