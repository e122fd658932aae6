package client

import (
	"context"
	"net/http"
	"net/url"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Regions lists every region of the catalogue.
func (c *Control) Regions(ctx context.Context, filters ...string) ([]*controlv1.Region, error) {
	var all []*controlv1.Region
	err := pages(narrowed(nil, filters), func(q url.Values) (string, error) {
		out := &controlv1.ListRegionsResponse{}
		err := c.get(ctx, "/v1/regions", q, out)
		all = append(all, out.GetRegions()...)
		return out.GetNextPageToken(), err
	})
	return all, err
}

// RegionInfo finds one region of the catalogue.
func (c *Control) RegionInfo(ctx context.Context, region string) (*controlv1.Region, error) {
	out := &controlv1.Region{}
	return out, c.get(ctx, "/v1/regions/"+url.PathEscape(region), nil, out)
}

// PutRegion adds a region (etag "") or changes one.
func (c *Control) PutRegion(ctx context.Context, r *controlv1.Region, etag string) (*controlv1.Region, error) {
	out := &controlv1.Region{}
	return out, c.conditional(ctx, http.MethodPut, "/v1/regions/"+url.PathEscape(r.GetId()), etag, r, out)
}

// Features lists what a region can do, and at which stage.
func (c *Control) Features(ctx context.Context, region string, filters ...string) ([]*controlv1.Feature, error) {
	out := &controlv1.ListFeaturesResponse{}
	err := c.get(ctx, "/v1/regions/"+url.PathEscape(region)+"/features", narrowed(nil, filters), out)
	return out.GetFeatures(), err
}

// Feature finds how far one feature is in a region.
func (c *Control) Feature(ctx context.Context, region, feature string) (*controlv1.Feature, error) {
	out := &controlv1.Feature{}
	return out, c.get(ctx, "/v1/regions/"+url.PathEscape(region)+"/features/"+url.PathEscape(feature), nil, out)
}

// Entity finds who contracts with customers of a billing country.
func (c *Control) Entity(ctx context.Context, country string) (*controlv1.Entity, error) {
	out := &controlv1.Entity{}
	return out, c.get(ctx, "/v1/entities/"+url.PathEscape(country), nil, out)
}

// Entities lists which entity contracts for a billing country.
func (c *Control) Entities(ctx context.Context, filters ...string) ([]*controlv1.Entity, error) {
	out := &controlv1.ListEntitiesResponse{}
	err := c.get(ctx, "/v1/entities", narrowed(nil, filters), out)
	return out.GetEntities(), err
}

// Bases lists the legal bases of transfers.
func (c *Control) Bases(ctx context.Context, filters ...string) ([]*controlv1.Basis, error) {
	out := &controlv1.ListBasesResponse{}
	err := c.get(ctx, "/v1/bases", narrowed(nil, filters), out)
	return out.GetBases(), err
}
